import { basename } from 'node:path'
import type { Checkpoint, FormatName } from '../checkpoint/checkpoint.js'
import { traitsOf } from '../formats/index.js'
import type { SmallFile } from '../io/source.js'
import { join } from '../io/store.js'
import type { InputRecord } from '../record/provenance.js'

/**
 * The files whose content is in an output.
 * @param read all small files that the conversion has read, by their paths
 */
export function inputsOf(
  { document, folder, tokenizer }: Checkpoint,
  to: FormatName,
  imatrix: string | undefined,
  read: ReadonlyMap<string, SmallFile>,
): InputRecord[] {
  const beside = (name: string) => (folder === undefined ? name : join(folder, name))
  const traits = traitsOf(to)
  // Such a folder has one file of a tokenizer, and nothing of how to generate.
  const isAlone = traits.tokenizer === 'model'
  const model = tokenizer.model ?? tokenizer.tiktoken
  const tokenizers = [
    model,
    ...(isAlone && model !== undefined ? [] : [...tokenizer.beside, tokenizer.template]),
  ]
  const roleOf = (path: string): InputRecord['role'] | undefined => {
    if (path === imatrix) return 'imatrix'
    if (path === document?.path || basename(path) === 'params.json') return 'config'
    if (path.endsWith('.index.json')) return 'index'
    if (tokenizers.includes(path)) return 'tokenizer'
    if (path === beside('generation_config.json') && !isAlone) return 'generation_config'
    return path === beside('README.md') && traits.metadata ? 'card' : undefined
  }
  return [...read].flatMap(([path, file]) => {
    const role = roleOf(path)
    return role === undefined ? [] : [{ role, name: basename(path), ...file }]
  })
}
