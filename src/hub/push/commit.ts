import { type CommitOutput, commitIter, HubApiError } from '@huggingface/hub'
import { fromAnySystemError, OpenLlamaError } from '../../io/errors.js'
import { hubCall, hubError, safeMessage } from '../errors.js'
import { backOff, type HubClient, pause, transferInterrupted } from '../http.js'
import type { HubListing } from '../repository.js'
import { isSame } from './difference.js'
import type { ReadFile } from './files.js'
import { KnownFile } from './known-file.js'
import { findPullRequest, listHead, type PushTarget } from './target.js'
import { StaleUpload, type UploadFetch, uploadFetch } from './upload-fetch.js'
import { openUploadJournal } from './upload-journal.js'

export interface SendOptions {
  message: string
  signal?: AbortSignal | undefined
  onBytes(bytes: number): void
}

/** What became of it. */
export interface Sent {
  /** What is at the Hub now. */
  listing: HubListing
  commits: number
  pullRequest: number | undefined
  /** Bytes of files that arrived: not of what had arrived before. */
  bytes: number
}

/** Where the next commit goes, and what is there. */
type Place = PushTarget & { listing: HubListing }

/** Recommended by the Hub (docs/hub/storage-limits), whose client asks in hundreds too. */
const filesInCommit = 100

/** Small files are in the commit itself, which is one text in memory. */
const smallFile = 10 * 1024 * 1024
const smallBytesInCommit = 48 * 1024 * 1024

/** Times that a commit is tried whose answer did not come, or whose links were no longer valid. */
const maxTries = 5

/** The same, where some bytes arrive each time: an upload that begins anew each time gets nowhere. */
const maxRounds = 20

/** Sends files to what is ready for them, in as few commits as are good. */
export async function sendFiles(
  client: HubClient,
  target: Place,
  files: readonly ReadFile[],
  options: SendOptions,
): Promise<Sent> {
  const groups = groupsOf(files)
  let place = target
  let commits = 0
  let bytes = 0
  for (const [i, group] of groups.entries()) {
    const title = groups.length === 1 ? '' : ` (${i + 1} of ${groups.length})`
    let left = group
    for (let tries = 1, rounds = 1; left.length > 0; tries++, rounds++) {
      const known = left.map(
        ({ local, size, sha256, stamp }) =>
          new KnownFile(local, size, sha256, stamp, options.onBytes),
      )
      const uploads = uploadFetch(
        client,
        known,
        openUploadJournal(client.settings, place.repo),
        options,
      )
      try {
        const operations = left.map(({ path }, at) => ({ path, content: known[at] }))
        const output = await commit(client, place, operations, uploads, title, options)
        place = afterFirst(place, numberOf(output))
        commits++
        left = []
      } catch (error) {
        await uploads.settle()
        if (options.signal?.aborted) throw transferInterrupted()
        // A file that was written to meanwhile is not sent, however often it is tried.
        const failed = known.find(({ failure }) => failure !== undefined)?.failure
        if (failed !== undefined) throw failed
        // What gets on may go on: links expire sooner than a slow line is done.
        const isRefused = error instanceof StaleUpload && !error.isExpired
        if (uploads.arrived() > 0 && !isRefused) tries = 1
        const again = error instanceof StaleUpload || isConflict(error) || uploads.uncertain()
        if (!again || tries >= maxTries || rounds >= maxRounds) throw await told(error, place.repo)
        await pause(backOff(tries, client.settings), options.signal)
        if (place.opensPullRequest) {
          // Its answer may be what was lost.
          place = afterFirst(place, await findPullRequest(client, place, options.message))
        }
      } finally {
        bytes += uploads.arrived()
      }
      place = { ...place, listing: await listHead(client, place.repo, place.branch) }
      left = left.filter((file) => !isSame(file, place.listing.files.get(file.path)))
    }
  }
  return { listing: place.listing, commits, bytes, pullRequest: place.pullRequest }
}

/** Once it is there, a pull request is a branch like any other. */
function afterFirst(place: Place, pullRequest: number | undefined): Place {
  if (!place.opensPullRequest || pullRequest === undefined) return place
  return { ...place, branch: `refs/pr/${pullRequest}`, opensPullRequest: false, pullRequest }
}

async function commit(
  { params }: HubClient,
  { repo, branch, listing, opensPullRequest }: Place,
  files: readonly { path: string; content: KnownFile | undefined }[],
  { fetch }: UploadFetch,
  part: string,
  { message, signal }: SendOptions,
): Promise<CommitOutput | undefined> {
  const steps = commitIter({
    ...params,
    fetch,
    repo,
    branch,
    title: message + part,
    parentCommit: listing.commit,
    isPullRequest: opensPullRequest,
    operations: files.flatMap(({ path, content }) =>
      content === undefined ? [] : [{ operation: 'addOrUpdate' as const, path, content }],
    ),
    // Xet's chunks would be hashed anew, and what had arrived of them cannot be told.
    useXet: false,
    // Large files are hashed through their stream, whatever their size (known-file.ts).
    useWebWorkers: { minSize: 0 },
    ...(signal === undefined ? {} : { abortSignal: signal }),
  })
  for (;;) {
    const { done, value } = await steps.next()
    if (done) return value
  }
}

function numberOf(output: CommitOutput | undefined): number | undefined {
  const number = /\/discussions\/(\d+)/.exec(output?.pullRequestUrl ?? '')?.[1]
  return number === undefined ? undefined : Number(number)
}

/** Somebody was faster; or an earlier try of ours was, whose answer was lost. */
function isConflict(error: unknown): boolean {
  return error instanceof HubApiError && error.statusCode === 412
}

async function told(error: unknown, repo: string): Promise<unknown> {
  const path = `hf://${repo}`
  if (error instanceof OpenLlamaError) return error
  if (error instanceof StaleUpload) return error.told
  if (error instanceof HubApiError) {
    return hubCall(path, () => Promise.reject(error)).catch((translated: unknown) => translated)
  }
  const system = fromAnySystemError(error)
  if (system instanceof OpenLlamaError) return system
  const message = error instanceof Error ? error.message : String(error)
  return hubError(`sending did not succeed: ${safeMessage(message)}`, {
    path,
    suggestions: ['Run the command again; it goes on where it was.'],
    cause: error,
  })
}

/** Files in the commits that they go into. */
function groupsOf(files: readonly ReadFile[]): ReadFile[][] {
  const groups: ReadFile[][] = []
  let small = Number.POSITIVE_INFINITY
  for (const file of files) {
    const bytes = file.size <= smallFile ? file.size : 0
    const last = groups.at(-1)
    if (last === undefined || last.length >= filesInCommit || small + bytes > smallBytesInCommit) {
      groups.push([file])
      small = bytes
    } else {
      last.push(file)
      small += bytes
    }
  }
  return groups
}
