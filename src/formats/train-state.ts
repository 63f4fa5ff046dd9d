import type { FormatName } from '../checkpoint/checkpoint.js'
import { list } from '../checkpoint/geometry.js'
import { inputError } from '../io/errors.js'

/**
 * Picks the model's parameters out of what training saved: a train state keeps
 * them under params/params, beside the optimiser's state and the step.
 * @param keys of all arrays, as paths into the tree
 * @param loader EasyLM's load type, where the user named one
 * @returns for each key the parameter's name, or undefined where it is none, and what was left out
 * @throws input error where the load type does not fit what is in the file
 */
export function parameterNames(
  keys: readonly (readonly string[])[],
  format: FormatName,
  path: string,
  loader: string | undefined,
): { names: (string | undefined)[]; notes: string[] } {
  const isState = keys.some(([root]) => isStateRoot(root))
  const wantsState = loader?.startsWith('trainstate')
  if (isState && loader !== undefined && !wantsState) {
    throw inputError(`${loader}:: names a file of parameters, this one is a whole train state`, {
      format,
      path,
      suggestions: [`Use trainstate_params::${path}, or the path alone.`],
    })
  }
  const leftOut: string[] = []
  const names = keys.map((key) => {
    const inner = withoutParams(key)
    if (!isState || inner.length < key.length) return inner.join('/')
    leftOut.push(key.join('/'))
    return undefined
  })
  const notes =
    leftOut.length > 0
      ? [
          `a train state: its parameters are taken; the optimiser's state and the step are left out (${leftOut.length} arrays: ${list(leftOut, 3)})`,
        ]
      : []
  return { names, notes }
}

/** What stands beside `params` at the root of a flax train state. */
const stateRoots = new Set(['opt_state', 'step', 'dropout_rng'])

/** Whether what is under this key at the root is of training alone: its types may be any. */
export function isStateRoot(key: string | undefined): boolean {
  return key !== undefined && stateRoots.has(key)
}

/** flax's module wraps its variables in `params`, and so does the train state. */
function withoutParams(key: readonly string[]): readonly string[] {
  let depth = 0
  while (key[depth] === 'params') depth++
  return key.slice(depth)
}
