import type {
  Checksum,
  FormatName,
  OtherArray,
  SourceFile,
  StoredArray,
} from '../../checkpoint/checkpoint.js'
import { inputError } from '../../io/errors.js'
import type { JsonObject } from '../../io/json.js'
import { type ByteSource, openFile, readStart } from '../../io/source.js'
import { refuseStandIns } from '../../io/stand-ins.js'
import { type Storage, type TorchValue, torchGlobals } from './objects.js'
import { isKind, type PickleValue, unpickle } from './pickle.js'
import { endOfPickle, type PickleCursor, startsPickle } from './pickle-opcodes.js'
import { stateDictOf } from './state.js'
import { locateTensor } from './strides.js'
import { readEntry, readZip, startsZip, type ZipEntry } from './zip.js'

/**
 * A file of torch.save: since torch 1.6 a zip archive, before that a sequence
 * of pickles and payloads. Either way the pickle is read and the payloads are
 * located.
 */
export interface TorchFile {
  file: SourceFile
  arrays: StoredArray[]
  others: OtherArray[]
  /** The arguments of the model's constructor, where they are saved beside the weights. */
  modelArgs: JsonObject | undefined
  notes: string[]
}

/** Whether a file that starts so may be torch's. */
export function startsTorchFile(head: Uint8Array): boolean {
  return startsZip(head) || startsPickle(head)
}

/** Lists the tensors of one file. */
export async function listTorchFile(path: string, format: FormatName): Promise<TorchFile> {
  const source = await openFile(path)
  try {
    const head = await readStart(source, 512)
    refuseStandIns(path, head)
    const contents = await (startsZip(head) ? readArchive : readLegacy)(source, format)
    const { tensors, modelArgs, notes } = stateDictOf(contents.value, { format, path })
    const arrays: StoredArray[] = []
    const others: OtherArray[] = []
    for (const [name, tensor] of tensors) {
      const { key, type } = tensor.storage
      const offset = contents.payloads.get(key)
      if (offset === undefined) throw new Error(`storage ${key} has no payload`)
      if (type.dtype === undefined) others.push({ name, type: type.name, path })
      else arrays.push(locateTensor(name, tensor, type.dtype, { path, offset }, format))
    }
    const { checksums } = contents
    return {
      file: { path, size: source.size, ...(checksums.length > 0 ? { checksums } : {}) },
      arrays,
      others,
      modelArgs,
      notes: [...contents.notes, ...notes],
    }
  } finally {
    await source.close()
  }
}

/** What a container holds: the pickle's value, and where the payload of each storage begins. */
interface Contents {
  value: TorchValue
  payloads: Map<string, number>
  checksums: Checksum[]
  notes: string[]
}

/** The pickles of a file: 100,000 tensors take some 10 MB. */
const maxPickle = 64 * 1024 * 1024

async function readArchive(source: ByteSource, format: FormatName): Promise<Contents> {
  const where = { format, path: source.path }
  const entries = new Map((await readZip(source, format)).map((entry) => [entry.name, entry]))
  const pickles = [...entries.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name))
  const [pickle] = pickles
  if (pickle === undefined || pickles.length > 1) {
    throw inputError(
      `the archive has ${pickles.length} entries named data.pkl, torch writes one: it is no checkpoint of torch's`,
      where,
    )
  }
  const root = pickle.name.slice(0, -'data.pkl'.length)
  await checkByteOrder(source, entries.get(`${root}byteorder`), where)
  const { allowed, storages } = torchGlobals(where)
  const bytes = await readEntry(source, pickle, maxPickle, format)
  const cursor: PickleCursor = { bytes, offset: 0, where }
  const value = unpickle(cursor, allowed)
  if (cursor.offset !== bytes.length) {
    throw inputError(
      `its pickle ends at byte ${cursor.offset}, the entry "${pickle.name}" at ${bytes.length}`,
      where,
    )
  }
  const payloads = new Map<string, number>()
  const checksums: Checksum[] = []
  for (const storage of storages.values()) {
    const entry = entries.get(`${root}data/${storage.key}`)
    if (entry === undefined) {
      throw inputError(`storage "${storage.key}" is not in the archive`, {
        ...where,
        suggestions: ['The file is incomplete; download or save it again.'],
      })
    }
    checkPayload(storage, entry.size, where)
    payloads.set(storage.key, entry.offset)
    const { name, offset, size: length, crc32 } = entry
    if (crc32 !== undefined) checksums.push({ name: `the entry "${name}"`, offset, length, crc32 })
  }
  const notes =
    pickle.crc32 === undefined ? ['the archive was written without checksums: none is checked'] : []
  return { value, payloads, checksums, notes }
}

async function checkByteOrder(
  source: ByteSource,
  entry: ZipEntry | undefined,
  where: { format: FormatName; path: string },
): Promise<void> {
  // Archives from before the entry came into being were written on little-endian machines.
  if (entry === undefined) return
  const order = new TextDecoder().decode(await readEntry(source, entry, 16, where.format))
  if (order !== 'little') throw bigEndian(order, where)
}

/** torch's mark at the start of a file that is no zip archive. */
const magic = 0x1950a86a20f9469cfc6cn
const legacyProtocol = 1001

/** Enough for the pickles of most checkpoints. */
const firstWindow = 128 * 1024

/**
 * The container from before torch 1.6: pickles of a magic number, a version,
 * the machine's properties, the object and the keys of its storages; then each
 * storage's element count and elements, in the order of the keys.
 */
async function readLegacy(source: ByteSource, format: FormatName): Promise<Contents> {
  const where = { format, path: source.path }
  const { allowed, storages } = torchGlobals(where)
  const bytes = { source, window: new Uint8Array(), offset: 0, where }
  const next = async () => {
    const cursor = await fetchPickle(bytes)
    const value = unpickle(cursor, allowed)
    bytes.offset = cursor.offset
    return value
  }
  if ((await next()) !== magic) {
    throw inputError('it is a pickle, and not one of torch.save’s', {
      ...where,
      suggestions: ['Save the model’s state_dict() with torch.save, or as safetensors.'],
    })
  }
  const protocol = await next()
  if (protocol !== legacyProtocol) {
    throw inputError(
      `its protocol is ${typeof protocol === 'number' ? protocol : 'no number'}, only ${legacyProtocol} is known`,
      where,
    )
  }
  if (itemOf(await next(), 'little_endian') !== true) throw bigEndian('big', where)
  const value = await next()
  const keys = await next()
  const payloads = new Map<string, number>()
  let offset = bytes.offset
  for (const key of isKind(keys, 'list') ? keys.items : []) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined
    if (storage === undefined || payloads.has(storage.key)) {
      throw inputError(
        `it lists a storage ${typeof key === 'string' ? `"${key}"` : 'of no name'} that it has not, or has twice`,
        where,
      )
    }
    const head = await source.read(offset, 8)
    const elements = Number(new DataView(head.buffer, head.byteOffset).getBigInt64(0, true))
    checkPayload(storage, elements * storage.type.bytes, where)
    payloads.set(storage.key, offset + 8)
    offset += 8 + elements * storage.type.bytes
  }
  const missing = [...storages.keys()].find((key) => !payloads.has(key))
  if (missing !== undefined) throw inputError(`storage "${missing}" is not in the file`, where)
  if (offset !== source.size) {
    throw inputError(`its storages end at byte ${offset}, the file has ${source.size}`, {
      ...where,
      suggestions:
        offset > source.size ? ['It is truncated; download it again.'] : ['Save it again.'],
    })
  }
  return { value, payloads, checksums: [], notes: [] }
}

/** Bytes from the start of a file, and how far they have been understood. */
interface Leading {
  source: ByteSource
  window: Uint8Array
  offset: number
  where: { format: string; path: string }
}

/** A cursor at the next pickle, all of whose bytes are there; reads more of the file where needed. */
async function fetchPickle(leading: Leading): Promise<PickleCursor> {
  const { source, offset, where } = leading
  const skimmed = { bytes: leading.window, offset, where }
  while (endOfPickle(skimmed) === undefined) {
    const { length } = leading.window
    const most = Math.min(source.size, maxPickle)
    if (length === most) {
      throw inputError(
        length === maxPickle
          ? `its pickles take more than ${maxPickle} bytes`
          : `its pickles go on where the file ends, at byte ${length}`,
        where,
      )
    }
    leading.window = await source.read(0, Math.min(most, Math.max(firstWindow, 2 * length)))
    skimmed.bytes = leading.window
  }
  return { bytes: leading.window, offset, where }
}

function itemOf(value: TorchValue, name: string): PickleValue<unknown> | undefined {
  if (!isKind(value, 'dict')) return undefined
  return value.entries.find(([key]) => key === name)?.[1]
}

function checkPayload(
  { key, type, elements }: Storage,
  bytes: number,
  where: { format: FormatName; path: string },
): void {
  if (bytes === elements * type.bytes) return
  throw inputError(
    `storage "${key}" of ${elements} elements of ${type.name} takes ${elements * type.bytes} bytes, it has ${bytes}`,
    where,
  )
}

function bigEndian(order: string, where: { format: FormatName; path: string }): Error {
  return inputError(
    `its bytes are in ${JSON.stringify(order)}-endian order, only little is supported`,
    {
      ...where,
      suggestions: ['Save it on a little-endian machine.'],
    },
  )
}
