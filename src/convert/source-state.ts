import type { SourceFile } from '../checkpoint/checkpoint.js'
import { inputError } from '../io/errors.js'
import { isRemote } from '../io/store.js'
import { exactStatThere } from '../io/there.js'
import { stateOf } from '../io/tree.js'

/** What the files of a source were when they were first opened, by their paths (`stateOf`). */
export type SourceState = ReadonlyMap<string, string>

/**
 * @param noted files that opening the source has read of, as they were then (`noteFiles`); of
 *   others, such as ONNX's data beside a graph, it has seen that they are there
 */
export async function sourceStateOf(
  files: readonly SourceFile[],
  noted: ReadonlyMap<string, string>,
): Promise<SourceState> {
  const state = new Map(noted)
  for (const { path } of files) {
    if (isRemote(path) || state.has(path)) continue
    const there = await exactStatThere(path)
    if (there !== undefined) state.set(path, stateOf(there))
  }
  return state
}

/**
 * Holds the files of a source against what they were. What has kept its size, its time and its
 * place on the disk has kept its bytes: those that were converted are those whose hash is recorded.
 * @throws input error for the first that changed
 */
export async function holdSource(files: readonly SourceFile[], state: SourceState): Promise<void> {
  for (const { path } of files) {
    // What is elsewhere has the commit in its path.
    if (isRemote(path)) continue
    const there = await exactStatThere(path)
    if (there !== undefined && stateOf(there) === state.get(path)) continue
    const what = there === undefined ? 'it is gone' : 'it was changed or exchanged'
    throw inputError(`${what} while it was being read`, {
      path,
      suggestions: ['Nothing was made of it: run the command again when nothing writes to it.'],
    })
  }
}
