import { basename, dirname } from 'node:path'
import type { SourceFile } from '../../checkpoint/checkpoint.js'
import { list } from '../../checkpoint/geometry.js'
import { type MetadataEntry, metadataLookup } from '../../checkpoint/metadata.js'
import { inputError } from '../../io/errors.js'
import { openFile } from '../../io/source.js'
import { join, kindOf } from '../../io/store.js'
import { type GgufHeader, readHeader } from './header.js'
import { refuseInterrupted } from './interrupted.js'

/** llama.cpp's names of split files: model-00001-of-00003.gguf. */
export function splitName(stem: string, index: number, count: number): string {
  const digits = (n: number) => String(n).padStart(5, '0')
  return count === 1 ? `${stem}.gguf` : `${stem}-${digits(index + 1)}-of-${digits(count)}.gguf`
}

const pattern = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i

/** The first of a directory's files where all of them are parts of one checkpoint. */
export function firstOfSplit(names: readonly string[]): string | undefined {
  const splits = names.map((name) => pattern.exec(name))
  const [first] = splits
  const alike = splits.every((split) => split?.[1] === first?.[1] && split?.[3] === first?.[3])
  return first && alike ? names.toSorted()[0] : undefined
}

/** The keys that say which part of how many a file is. */
export function splitEntries(index: number, count: number, tensors: number): MetadataEntry[] {
  if (count === 1) return []
  return [
    { key: 'split.no', type: 'uint16', value: index },
    { key: 'split.count', type: 'uint16', value: count },
    { key: 'split.tensors.count', type: 'int32', value: tensors },
  ]
}

export interface GgufPart {
  file: SourceFile
  header: GgufHeader
}

/**
 * Reads the headers of a checkpoint, of all parts where it is split.
 * @param path of any of its files
 * @returns the parts in order; the first has the metadata
 * @throws input error where parts are missing or contradict each other
 */
export async function readParts(path: string): Promise<GgufPart[]> {
  const opened = await readPart(path)
  const { count = 1 } = splitNumbers(opened)
  if (count === 1) return [opened]
  const paths = await siblings(path, count)
  const parts = await Promise.all(paths.map(readPart))
  parts.forEach((part, i) => {
    const split = splitNumbers(part)
    if (split.index !== i || split.count !== count) {
      throw inputError(
        `its metadata say it is part ${said(split.index)} of ${said(split.count, 0)}, its name part ${i + 1} of ${count}`,
        { format: 'gguf', path: part.file.path },
      )
    }
  })
  const claimed = metadataLookup(opened.header.entries).integer('split.tensors.count')
  const tensors = parts.reduce(
    (sum, { header }) => sum + header.tensors.length + header.opaque.length,
    0,
  )
  if (claimed !== undefined && claimed !== tensors) {
    throw inputError(
      `its metadata say that all parts have ${claimed} tensors, they have ${tensors}`,
      {
        format: 'gguf',
        path,
      },
    )
  }
  return parts
}

export async function readPart(path: string): Promise<GgufPart> {
  await refuseInterrupted(path)
  const source = await openFile(path)
  try {
    return { file: { path, size: source.size }, header: await readHeader(source) }
  } finally {
    await source.close()
  }
}

function said(index: number | undefined, base = 1): string {
  return index === undefined ? '(none)' : String(index + base)
}

/** Which part of how many a file says that it is; the index counts from 0. */
export function splitNumbers({ header }: GgufPart): {
  index: number | undefined
  count: number | undefined
} {
  const metadata = metadataLookup(header.entries)
  return { index: metadata.integer('split.no'), count: metadata.integer('split.count') }
}

/** The paths of all parts, which are beside each other and named by number. */
async function siblings(path: string, count: number): Promise<string[]> {
  const where = { format: 'gguf', path }
  const [, stem, , of] = pattern.exec(basename(path)) ?? []
  if (stem === undefined || Number(of) !== count) {
    throw inputError(
      `it is one of ${count} parts by its metadata, and not by its name, which would end with "-00001-of-${String(count).padStart(5, '0')}.gguf"`,
      { ...where, suggestions: ['Give all parts the names they were written with.'] },
    )
  }
  const paths = Array.from({ length: count }, (_, i) =>
    join(dirname(path), splitName(stem, i, count)),
  )
  const there = await Promise.all(paths.map(kindOf))
  const missing = paths.filter((_, i) => there[i] === undefined).map((each) => basename(each))
  if (missing.length > 0) {
    throw inputError(`of its ${count} parts there is no ${list(missing)}`, {
      ...where,
      suggestions: ['Put all parts into one folder.'],
    })
  }
  return paths
}
