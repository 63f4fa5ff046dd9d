import { basename } from 'node:path'
import type { PlannedArray } from '../../checkpoint/bindings.js'
import { tensorBytes } from '../../checkpoint/tensor.js'
import type { TargetFile } from '../format.js'
import { storageTypeOf } from './objects.js'
import { pickleStateDict } from './pickle-write.js'
import { layOutZip, type ZipContent } from './zip-layout.js'

/** A tensor that goes into a file: by the name and in the shape that it has there. */
export type TorchEntry = Pick<PlannedArray, 'name' | 'shape' | 'dtype'>

/**
 * Lays out a file as torch.save would write it: the pickle, the byte order, a
 * storage a tensor, the version.
 * @param shared entries that are the same bytes as another one, by their names
 * @returns the file, and where in it each entry's bytes begin
 */
export function layOutTorchFile(
  name: string,
  entries: readonly TorchEntry[],
  shared: ReadonlyMap<string, TorchEntry> = new Map(),
): { file: TargetFile; begins: number[] } {
  const encode = (text: string) => new TextEncoder().encode(text)
  const pickled = (entry: TorchEntry, key: number, storedName: string) => ({
    name: storedName,
    key: String(key),
    storageType: storageTypeOf(entry.dtype),
    shape: entry.shape,
  })
  const pickle = pickleStateDict([
    ...entries.map((entry, key) => pickled(entry, key, entry.name)),
    ...[...shared].map(([storedName, entry]) => pickled(entry, entries.indexOf(entry), storedName)),
  ])
  // torch names the folder within the archive after the file.
  const root = basename(name).replace(/\.[^.]*$/, '')
  const before: ZipContent[] = [
    { name: `${root}/data.pkl`, bytes: pickle },
    { name: `${root}/byteorder`, bytes: encode('little') },
  ]
  const { offsets, ...layout } = layOutZip([
    ...before,
    ...entries.map((entry, key) => ({ name: `${root}/data/${key}`, size: tensorBytes(entry) })),
    { name: `${root}/version`, bytes: encode('3\n') },
  ])
  const begins = entries.map((_, key) => offsets[before.length + key] ?? 0)
  return { file: { name, ...layout }, begins }
}
