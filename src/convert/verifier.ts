import { createHash, type Hash } from 'node:crypto'
import type { SourceFile } from '../checkpoint/checkpoint.js'
import { OpenLlamaError } from '../io/errors.js'
import { openFile } from '../io/source.js'
import { isRemote } from '../io/store.js'
import { formatBytes } from '../io/units.js'
import { type ByteRun, type Prefetch, runsOf } from './prefetch.js'

/**
 * Holds the content of files from elsewhere against the SHA-256 that their place
 * gives of them, while their bytes pass in the order in which they lie.
 */
export interface Verifier {
  /**
   * Sums up a prefetch's bytes. Prefetches are added in the order in which they were planned.
   * @throws ContentError with the last byte of a file that is not what it should be
   */
  add(prefetch: Prefetch, bytes: Uint8Array): Promise<void>
  /** Files that cannot be verified, and why. */
  readonly unverified: ReadonlyMap<string, string>
}

/** Content that is not what its place says: what was made of it must not be gone on with. */
export class ContentError extends OpenLlamaError {}

/**
 * Bytes of a file that are no weights, at most. Headers, alignment and directories were mostly
 * read when the file was opened, and the largest, with a vocabulary, has some megabytes; what
 * is more is tensors that nobody asked for, which are not fetched to be summed up.
 */
const mostBetween = (size: number): number => Math.max(16 * 1024 * 1024, size / 100)

/** Bytes that are no weights are read so many at a time. */
const gapPiece = 1024 * 1024

/**
 * @param prefetches all of them, in the order in which they will come
 * @param wanted tiles of each prefetch that are to be made; of the others an earlier run was
 */
export function openVerifier(
  files: readonly SourceFile[],
  prefetches: readonly Prefetch[],
  wanted: ReadonlyMap<number, number>,
): Verifier {
  const passing = new Map<string, Passing>()
  const unverified = new Map<string, string>()
  const passages = passagesOf(prefetches, wanted)
  for (const { path, size, sha256 } of files) {
    if (!isRemote(path)) continue
    const passage = passages.get(path) ?? { position: 0, between: 0 }
    const obstacle = obstacleOf(passage, size, sha256)
    if (obstacle !== undefined) unverified.set(path, obstacle)
    if (obstacle !== undefined || sha256 === undefined) continue
    const hash = createHash('sha256')
    passing.set(path, { path, size, sha256, hash, position: 0, end: passage.position })
  }
  return {
    unverified,
    async add(prefetch, bytes) {
      for (const run of runsOf(prefetch)) {
        const file = passing.get(run.path)
        if (file === undefined) continue
        await pass(file, run, bytes)
        if (file.position === file.end) await conclude(file)
      }
    },
  }
}

/** A file whose bytes up to `position` are summed up; its last prefetch ends at `end`. */
interface Passing {
  path: string
  size: number
  sha256: string
  hash: Hash
  position: number
  end: number
}

/** How a file's bytes will pass: up to where, how many are left out, and what is wrong with it. */
interface Passage {
  position: number
  between: number
  obstacle?: string
}

function passagesOf(
  prefetches: readonly Prefetch[],
  wanted: ReadonlyMap<number, number>,
): Map<string, Passage> {
  const passages = new Map<string, Passage>()
  for (const [i, prefetch] of prefetches.entries()) {
    const earlier = wanted.get(i) !== prefetch.tiles.length
    for (const { path, offset, length } of runsOf(prefetch)) {
      const passage: Passage = passages.get(path) ?? { position: 0, between: 0 }
      passages.set(path, passage)
      if (earlier) passage.obstacle ??= 'some of it came in an earlier run'
      if (offset < passage.position) passage.obstacle ??= 'its bytes do not come in their order'
      passage.between += Math.max(0, offset - passage.position)
      passage.position = Math.max(passage.position, offset + length)
    }
  }
  return passages
}

/** Why a file cannot be verified. */
function obstacleOf(
  { position, between, obstacle }: Passage,
  size: number,
  sha256: string | undefined,
): string | undefined {
  if (sha256 === undefined) return 'its place has no SHA-256 of it'
  if (obstacle !== undefined) return obstacle
  const left = between + size - position
  if (left <= mostBetween(size)) return undefined
  return `${formatBytes(left)} of it are not needed and were not fetched`
}

async function pass(file: Passing, run: ByteRun, bytes: Uint8Array): Promise<void> {
  if (run.offset > file.position) await passGap(file, run.offset)
  if (run.offset < file.position) throw new Error(`${run.path}: byte ${run.offset} came too late`)
  file.hash.update(bytes.subarray(run.position, run.position + run.length))
  file.position += run.length
}

async function passGap(file: Passing, to: number): Promise<void> {
  // What was read before is kept where the file was opened.
  const source = await openFile(file.path)
  while (file.position < to) {
    const length = Math.min(gapPiece, to - file.position)
    file.hash.update(await source.read(file.position, length))
    file.position += length
  }
  await source.close()
}

async function conclude(file: Passing): Promise<void> {
  await passGap(file, file.size)
  const found = file.hash.digest('hex')
  if (found === file.sha256) return
  throw new ContentError('hub', `its SHA-256 is ${found}, the Hub says ${file.sha256}`, {
    path: file.path,
    suggestions: [
      'Bytes of it were damaged on the way, and what was made of them is removed: run the command again.',
      'If it stays so, `openllama pull` fetches what is damaged anew; convert from there.',
    ],
  })
}
