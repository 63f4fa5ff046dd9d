import { basename } from 'node:path'
import { resolveCheckpoint } from '../../checkpoint/checkpoint.js'
import { inputError, OpenLlamaError, usageError } from '../../io/errors.js'
import { openFile } from '../../io/source.js'
import type { KeyAssignment } from './assign.js'
import { type Edit, planEdit } from './edit.js'
import { listParts } from './gguf.js'
import { type GgufHeader, readHeader } from './header.js'
import { type GgufPart, readParts, splitName, splitNumbers } from './split.js'

/**
 * What setting metadata of a file comes to: nothing is written.
 * @throws input error for a later part of a split file; usage error for what may not be set, and for
 *   values with which the file could not be read any more
 */
export async function readEdit(path: string, assignments: readonly KeyAssignment[]): Promise<Edit> {
  const source = await openFile(path)
  try {
    const header = await readHeader(source)
    const { index, count } = splitNumbers({ file: { path, size: source.size }, header })
    if (index !== undefined && index > 0) {
      const first = basename(path).replace(/-\d{5}-of-\d{5}\.gguf$/i, '')
      throw inputError(`it is part ${index + 1} of a split file, the metadata are in part 1`, {
        format: 'gguf',
        path,
        suggestions: [`Set them in ${splitName(first, 0, count ?? 1)}.`],
      })
    }
    const edit = planEdit(header, await source.read(0, header.dataBegin), assignments, path)
    await refuseUnknowable(path, header, edit)
    return edit
  } finally {
    await source.close()
  }
}

/**
 * Reads the checkpoint with the new metadata as any command would.
 * @throws usage error where it could be read before, and could not afterwards
 */
async function refuseUnknowable(
  path: string,
  header: GgufHeader,
  { changes }: Edit,
): Promise<void> {
  const readable = async (parts: readonly GgufPart[]) =>
    resolveCheckpoint(await listParts(parts, path), {}, { beside: [] })
  const parts = await readParts(path)
  try {
    await readable(parts)
  } catch {
    // Of another architecture, or no model: llama.cpp may know more of it.
    return
  }
  const set = new Map(changes.map(({ key, after }) => [key, { key, ...after }]))
  const kept = header.entries.map((entry) => ({ ...entry, ...set.get(entry.key) }))
  const known = new Set(header.entries.map(({ key }) => key))
  const place = { begin: header.infosBegin, end: header.infosBegin }
  const added = [...set.values()].filter(({ key }) => !known.has(key))
  const entries = [...kept, ...added.map((entry) => ({ ...entry, ...place }))]
  const [first, ...others] = parts
  if (first === undefined) return
  try {
    await readable([{ ...first, header: { ...first.header, entries } }, ...others])
  } catch (error) {
    if (!(error instanceof OpenLlamaError)) throw error
    throw usageError(`the file could not be read afterwards: ${error.what}`, {
      path,
      suggestions: ['Nothing was changed.'],
    })
  }
}
