import { besideTargets } from './beside.js'
import type { Target } from './target.js'
import { weightTargets } from './weights.js'

/** All parsers that are fuzzed. */
export const targets: readonly Target[] = [...weightTargets, ...besideTargets]
