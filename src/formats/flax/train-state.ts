import type { FormatName, Listing, StoredArray } from '../../checkpoint/checkpoint.js'
import { list } from '../../checkpoint/geometry.js'
import { inputError } from '../../io/errors.js'
import type { ByteSource } from '../../io/source.js'

/** What a tree of names holds at one of them; without an array, what was skipped unread. */
export interface Leaf {
  key: readonly string[]
  array?: StoredArray
}

/**
 * The listing of a file of parameters, or of a train state.
 * @param loader EasyLM's load type, where the user named one
 */
export function listLeaves(
  format: FormatName,
  { path, size }: ByteSource,
  leaves: readonly Leaf[],
  loader?: string,
): Listing {
  const keys = leaves.map(({ key }) => key)
  const { names, notes } = parameterNames(keys, format, path, loader)
  const arrays = leaves.flatMap(({ array }, i) => {
    const name = names[i]
    return array && name !== undefined ? [{ ...array, name }] : []
  })
  const naming = arrays.some(({ name }) => name.startsWith('model/')) ? 'hf-flax' : 'easylm'
  return { format, path, naming, files: [{ path, size }], arrays, notes }
}

/**
 * Picks the model's parameters out of what training saved: a train state keeps
 * them under params/params, beside the optimiser's state and the step.
 * @param keys of all arrays, as paths into the tree
 * @param loader EasyLM's load type, where the user named one
 * @returns for each key the parameter's name, or undefined where it is none, and what was left out
 * @throws input error where the load type does not fit what is in the file
 */
function parameterNames(
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
