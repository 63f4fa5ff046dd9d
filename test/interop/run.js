// The live cross-checks: our output in the formats' own software. Needs Python 3; its packages are
// installed on first use. Prints a line a check, and fails if any does.
//   node test/interop/run.js [hub|tokenizers|formats|architectures|kinds|rope|tokens|cards]
import { rmSync } from 'node:fs'
import { checkArchitectures } from './architectures.js'
import { checkCards, checkReleaseCard } from './cards.js'
import { checkHub } from './exchange.js'
import { checkFormats } from './formats.js'
import { checkKinds } from './kinds.js'
import { pythonWithTransformers4, pythonWithTransformers5 } from './python.js'
import { checkRope } from './rope.js'
import { counts, models, temporary } from './session.js'
import { checkTokenizers } from './tokenizers.js'
import { checkTokens } from './tokens.js'

const parts = {
  hub: checkHub,
  tokenizers: checkTokenizers,
  formats: (pythons) => eachModel((model) => checkFormats(pythons, model)),
  architectures: (pythons) => checkArchitectures(pythons),
  kinds: (pythons) => eachModel((model) => checkKinds(pythons, model)),
  rope: checkRope,
  tokens: checkTokens,
  cards: async (pythons) => {
    checkReleaseCard(pythons)
    await eachModel((model) => checkCards(pythons, model))
  },
}
const [only] = process.argv.slice(2)
const chosen = Object.entries(parts).filter(([name]) => only === undefined || name === only)
if (chosen.length === 0) throw new Error(`there are ${Object.keys(parts).join(', ')}, not ${only}`)

try {
  const pythons = [pythonWithTransformers5(), pythonWithTransformers4()]
  for (const [, part] of chosen) await part(pythons)
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
console.log(`interop: ${counts.passed} passed, ${counts.failed} failed`)
process.exitCode = counts.failed === 0 ? 0 : 1

async function eachModel(work) {
  for (const model of models) await work(model)
}
