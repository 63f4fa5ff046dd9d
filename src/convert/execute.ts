import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { SourceFile } from '../checkpoint/checkpoint.js'
import type { Tile } from '../checkpoint/regions.js'
import { inputError, OpenLlamaError } from '../io/errors.js'
import { isRemote } from '../io/store.js'
import { writeAll } from '../io/whole.js'
import { isBlock, isFloat, isScale } from '../types/dtype.js'
import { fingerprintOf, type Head, openJournal, readJournal, refuseOther } from './journal.js'
import { allotMemory } from './memory.js'
import { type Plan, tilesOf } from './plan.js'
import { prefetchesOf } from './prefetch.js'
import { openPrefetcher } from './prefetcher.js'
import { createFiles, type OpenOutputs } from './staging.js'
import type { TileFacts } from './tile.js'
import { shareTurn } from './turn.js'
import { openVerifier } from './verifier.js'
import { type ConversionWorker, startThreadWorker, startWorker } from './worker.js'

export interface ExecuteOptions {
  /** Bytes of all buffers together at most. */
  maxMemory: number
  threads: number
  /** Go on from what the journal in the staging directory says is done. */
  resuming: boolean
  allowNonFinite: boolean
  allowOverflow: boolean
  /** Hash all files, for the record of them. */
  sha256: boolean
  /** The output may replace one that is there; the journal says so to who goes on from it. */
  force?: boolean
  /** Called when all was looked at that can be, before anything changes on disk. */
  onBegin?(): void
  signal?: AbortSignal
  onProgress?(progress: Progress): void
}

/** Bytes of weights written, then bytes of files summed up and hashed. */
export interface Progress {
  phase: 'convert' | 'verify'
  done: number
  total: number
}

export interface Executed {
  /** SHA-256 by name within the output, where that was asked for. */
  hashes: Map<string, string>
  /** By path, likewise. */
  sourceHashes: Map<string, string>
  /** By path: files from elsewhere whose content was not held against its hash, and why. */
  unverified: ReadonlyMap<string, string>
  /** By tensor, where there is something to tell. */
  facts: Map<string, TileFacts>
  /** What each file of the output is (`identityOf`), by its name. */
  outputs: ReadonlyMap<string, string>
}

/**
 * Carries out a plan into the staging directory: tiles over the workers, each
 * read, converted and written on its own; then patches are filled in, and all
 * files synced and hashed.
 * @throws input error for values that are not finite or overflow, unless allowed
 */
export async function execute(
  plan: Plan,
  staging: string,
  options: ExecuteOptions,
): Promise<Executed> {
  const { workers, budget, prefetch } = allotMemory(plan, options)
  const prefetches = prefetch === undefined ? [] : prefetchesOf(plan.moves, budget, prefetch)
  const tiles: { move: number; tile: Tile; prefetch?: number }[] =
    prefetch === undefined
      ? plan.moves.flatMap((move, index) =>
          tilesOf(move, budget).map((tile) => ({ move: index, tile })),
        )
      : prefetches.flatMap((each, i) => each.tiles.map((tile) => ({ ...tile, prefetch: i })))
  const head: Head = {
    fingerprint: await fingerprintOf(plan, prefetch === undefined ? [budget] : [budget, prefetch]),
    files: plan.target.files.map(({ name }) => name),
    force: options.force ?? false,
  }
  // Before any file is touched: what is there may belong to another plan.
  const earlier = options.resuming ? await readJournal(staging) : undefined
  if (earlier) refuseOther(earlier, head.fingerprint, staging)
  const told = new Map(earlier?.done.map((each) => [each.tile, each]))
  for (const [id, { facts }] of told) {
    const entry = tiles[id]
    // What the earlier run was allowed, this one may not be.
    if (entry) refuse(plan, entry.move, entry.tile, facts, options)
  }
  options.onBegin?.()
  let opened: OpenOutputs | undefined
  const sync = async () => {
    for (const handle of opened?.handles.values() ?? []) await handle.datasync()
  }
  const facts = new Map<string, TileFacts>()
  const pool: ConversionWorker[] = []
  let unverified: ReadonlyMap<string, string> = new Map()
  // It says whose the files are, and so is there before them.
  const journal = await openJournal(staging, head, earlier, sync)
  try {
    try {
      opened = await createFiles(staging, plan.target)
      const { identities } = opened
      const setup = {
        moves: plan.moves,
        staging,
        outputs: identities,
        ...(workers === 1 ? {} : { turn: shareTurn() }),
      }
      for (let i = 0; i < workers; i++)
        pool.push(workers === 1 ? startWorker(setup) : startThreadWorker(setup))
      const total = tiles.reduce((sum, { tile }) => sum + tile.rows * tile.columns, 0)
      const scale = plan.bytes / Math.max(1, total)
      const finished = new Set<number>()
      let elements = 0
      await drain(pool, [...told], options.signal, async (worker, [id, { crc32, facts: seen }]) => {
        const entry = tiles[id]
        if (entry === undefined) return
        const { move, tile } = entry
        const result = await worker.run({ kind: 'sum', move, tile })
        // Damaged since, or never come to disk: it is made again.
        if (result.kind !== 'sum' || result.crc32 !== crc32) return
        finished.add(id)
        elements += tile.rows * tile.columns
        addFacts(facts, plan, move, seen)
      })
      const pending = tiles.flatMap((entry, id) => (finished.has(id) ? [] : [{ ...entry, id }]))
      const wanted = tilesWanted(pending)
      const verifier = openVerifier(plan.source.files, prefetches, wanted)
      unverified = verifier.unverified
      const prefetcher = openPrefetcher(prefetches, wanted, verifier, options.signal)
      const make = async (
        worker: ConversionWorker,
        { id, move, tile, prefetch: from }: Pending,
      ): Promise<void> => {
        const bytes = from === undefined ? undefined : await prefetcher.get(from)
        const region = prefetches[from ?? 0]?.region
        const result = await worker.run({
          kind: 'tile',
          move,
          tile,
          ...(bytes && region ? { prefetch: { bytes, region } } : {}),
        })
        if (from !== undefined) prefetcher.release(from)
        if (result.kind !== 'tile') return
        refuse(plan, move, tile, result.facts, options)
        addFacts(facts, plan, move, result.facts)
        await journal.add({ tile: id, facts: result.facts, crc32: result.crc32 })
        elements += tile.rows * tile.columns
        options.onProgress?.({
          phase: 'convert',
          done: Math.round(elements * scale),
          total: plan.bytes,
        })
      }
      await drain(pool, pending, options.signal, (worker, tile) =>
        make(worker, tile).catch((error) => {
          // The others may be waiting for a prefetch whose turn will not come.
          prefetcher.abort(error)
          throw error
        }),
      )
    } finally {
      await journal.close()
    }
    const { handles, identities: outputs } = opened
    const verified = verification(plan, options)
    await fillPatches(pool, plan, handles, options.signal, verified)
    for (const handle of handles.values()) await handle.sync()
    const { hashes, sourceHashes } = await hashAll(pool, plan, staging, options, verified)
    return { hashes, sourceHashes, unverified, facts: inOrder(facts, plan), outputs }
  } finally {
    for (const worker of pool) worker.close()
    for (const handle of opened?.handles.values() ?? []) await handle.close()
  }
}

interface Pending {
  id: number
  move: number
  tile: Tile
  prefetch?: number
}

/** Prefetches of which tiles are to be made, and how many. */
function tilesWanted(pending: readonly Pending[]): Map<number, number> {
  const wanted = new Map<number, number>()
  for (const { prefetch } of pending) {
    if (prefetch !== undefined) wanted.set(prefetch, (wanted.get(prefetch) ?? 0) + 1)
  }
  return wanted
}

/** Runs `work` on each item, as many at a time as there are workers; the first failure ends it. */
async function drain<T>(
  workers: readonly ConversionWorker[],
  items: readonly T[],
  signal: AbortSignal | undefined,
  work: (worker: ConversionWorker, item: T) => Promise<void>,
): Promise<void> {
  let next = 0
  let failed = false
  // All workers come to rest before a failure is told: what follows may remove their files.
  const ended = await Promise.allSettled(
    workers.map(async (worker) => {
      while (!failed && next < items.length) {
        const item = items[next++]
        if (item === undefined) return
        try {
          if (signal?.aborted) throw interrupted()
          await work(worker, item)
        } catch (error) {
          failed = true
          throw error
        }
      }
    }),
  )
  for (const end of ended) if (end.status === 'rejected') throw end.reason
  if (signal?.aborted) throw interrupted()
}

function interrupted(): OpenLlamaError {
  return new OpenLlamaError('interrupted', 'interrupted', {
    suggestions: ['The same command with `resume` goes on from here.'],
  })
}

function refuse(
  plan: Plan,
  index: number,
  tile: Tile,
  facts: TileFacts,
  options: ExecuteOptions,
): void {
  const move = plan.moves[index]
  if (move === undefined) return
  const { source, target } = move
  const where = {
    format: plan.source.format,
    path: source.parts[0]?.extents[0]?.path,
    tensor: source.storedName,
  }
  const rows = `rows ${tile.row} to ${tile.row + tile.rows - 1}`
  // A block shares one scale: a single infinity would spoil all of it.
  const spoils = !isFloat(target.dtype) && source.dtype !== target.dtype
  if (facts.nan + facts.infinite > 0 && (spoils || !options.allowNonFinite)) {
    throw inputError(`it has ${facts.nan} NaN and ${facts.infinite} infinite values in ${rows}`, {
      ...where,
      suggestions: [
        'The model is broken, or bytes were lost. If it is meant to be so, `allowNonFinite` keeps them.',
      ],
    })
  }
  if (facts.overflowed > 0 && !options.allowOverflow) {
    const [what, become] = isBlock(target.dtype)
      ? ['blocks of values', 'infinite or zero']
      : ['values', 'infinite']
    throw inputError(
      `${facts.overflowed} ${what} in ${rows} are too large for ${target.dtype} and would become ${become}`,
      {
        ...where,
        suggestions: [`Choose \`dtype\` bf16 or f32; \`allowOverflow\` makes them ${become}.`],
      },
    )
  }
}

const nothing: TileFacts = { nan: 0, infinite: 0, overflowed: 0, vanished: 0 }

function addFacts(all: Map<string, TileFacts>, plan: Plan, index: number, seen: TileFacts): void {
  const target = plan.moves[index]?.target
  // Scales are made of the same values as their levels, whose facts count: each value once.
  const told = target && isScale(target.dtype) ? { ...nothing, overflowed: seen.overflowed } : seen
  const name = target?.name
  if (name === undefined || Object.values(told).every((count) => count === 0)) return
  const sum = all.get(name)
  all.set(name, {
    nan: (sum?.nan ?? 0) + told.nan,
    infinite: (sum?.infinite ?? 0) + told.infinite,
    overflowed: (sum?.overflowed ?? 0) + told.overflowed,
    vanished: (sum?.vanished ?? 0) + told.vanished,
  })
}

/** Counts the bytes of the last phase, which are known beforehand. */
function verification(plan: Plan, { onProgress, sha256 }: ExecuteOptions): (bytes: number) => void {
  const { hashed, sources } = filesToRead(plan, sha256)
  const sizes = [
    ...plan.target.files.flatMap(({ patches }) => (patches ?? []).map(({ of }) => of.length)),
    ...hashed.map(({ size }) => size),
    ...sources.map(({ size }) => size),
  ]
  const total = sizes.reduce((sum, size) => sum + size, 0)
  let done = 0
  return (bytes) => {
    done += bytes
    onProgress?.({ phase: 'verify', done, total })
  }
}

/**
 * Fills in what depends on the bytes written. A patch covers none of the places
 * that patches are written to, so a resumed run may do it once more.
 */
async function fillPatches(
  pool: readonly ConversionWorker[],
  { target }: Plan,
  handles: ReadonlyMap<string, FileHandle>,
  signal: AbortSignal | undefined,
  verified: (bytes: number) => void,
): Promise<void> {
  const patches = target.files.flatMap(({ name, patches }) =>
    (patches ?? []).map((patch) => ({ name, ...patch })),
  )
  patches.sort((a, b) => b.of.length - a.of.length)
  await drain(pool, patches, signal, async (worker, { kind, name, of, at }) => {
    const result = await worker.run({ kind, name, ...of })
    if (result.kind !== 'crc32') return
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setUint32(0, result.crc32, true)
    const handle = handles.get(name)
    if (handle === undefined) return
    for (const position of at) await writeAll(handle, bytes, position)
    verified(of.length)
  })
}

/** Tiles are done in any order; the record of them has one. */
function inOrder(facts: ReadonlyMap<string, TileFacts>, plan: Plan): Map<string, TileFacts> {
  return new Map(
    plan.moves.flatMap(({ target: { name } }) => {
      const seen = facts.get(name)
      return seen === undefined ? [] : [[name, seen] as const]
    }),
  )
}

/** Files of the last phase; a source that has checksums is held against them in any case. */
function filesToRead({ source, target }: Plan, sha256: boolean) {
  return {
    hashed: sha256 ? target.files : [],
    sources: source.files.filter(
      (file) => isHere(file) && (sha256 || file.checksums !== undefined),
    ),
  }
}

async function hashAll(
  pool: readonly ConversionWorker[],
  plan: Plan,
  staging: string,
  { sha256, signal }: Pick<ExecuteOptions, 'sha256' | 'signal'>,
  verified: (bytes: number) => void,
): Promise<{ hashes: Map<string, string>; sourceHashes: Map<string, string> }> {
  const hashes = new Map<string, string>()
  const sourceHashes = new Map(
    plan.source.files.flatMap(({ path, sha256 }) => (sha256 ? [[path, sha256] as const] : [])),
  )
  const { hashed, sources } = filesToRead(plan, sha256)
  const files = [
    ...hashed.map(({ name, size }) => ({
      into: hashes,
      key: name,
      path: join(staging, name),
      size,
      checksums: [],
    })),
    ...sources.map(({ path, size, checksums }) => ({
      into: sourceHashes,
      key: path,
      path,
      size,
      checksums: checksums ?? [],
    })),
  ].sort((a, b) => b.size - a.size)
  await drain(pool, files, signal, async (worker, { into, key, path, size, checksums }) => {
    const result = await worker.run({ kind: sha256 ? 'hash' : 'check', path, checksums })
    if (result.kind === 'hash') into.set(key, result.sha256)
    verified(size)
  })
  return { hashes, sourceHashes }
}

/** What is on this machine: of what is elsewhere, its place says the hash. */
function isHere({ path }: SourceFile): boolean {
  return !isRemote(path)
}
