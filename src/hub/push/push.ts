import { OpenLlamaError, usageError } from '../../io/errors.js'
import { hubError } from '../errors.js'
import { selects } from '../globs.js'
import { createClient, type HubClient } from '../http.js'
import { type Keyless, signInKeyless } from '../oidc.js'
import { parseHubPath } from '../paths.js'
import type { HubListing } from '../repository.js'
import type { HubSettings } from '../settings.js'
import { readCard, validateCard } from './card.js'
import { sendFiles } from './commit.js'
import { differenceOf, isSame, type PushedFile } from './difference.js'
import { chosenFiles, type ReadFile, readOnce } from './files.js'
import { compareHashes, compareSizes, readRecords, requireCheck } from './record.js'
import { lookUpTarget, makeTarget, type PushTargetOptions } from './target.js'

export interface PushOptions {
  revision?: string
  create: boolean
  createPr: boolean
  private: boolean
  include: readonly string[]
  exclude: readonly string[]
  message?: string
  /** Push what no check has passed. */
  unchecked: boolean
  dryRun: boolean
  signal?: AbortSignal
  onProgress?(phase: 'verify' | 'send', done: number, total: number): void
  /** Where a CI job's identity is looked for. */
  env?: Readonly<Record<string, string | undefined>>
}

export interface Pushed {
  repository: string
  revision: string
  /** Where it can be looked at. */
  url: string
  /** What the revision is now; null where it is not there. */
  commit: string | null
  pull_request: number | null
  /** What was made, or in a dry run would be. */
  creates: 'nothing' | 'branch' | 'repository'
  dry_run: boolean
  files: PushedFile[]
  /** What only the remote has: it stays. */
  remote_only: { path: string; bytes: number }[]
  /** Of new and changed files. */
  bytes_to_send: number
  /** Of these, what this run sent: large files may have arrived earlier. */
  bytes_sent: number
  commits: number
  warnings: string[]
}

/**
 * Publishes a folder. Everything that can be known to be wrong is known before
 * anything is sent; what the Hub has already is not sent.
 */
export async function push(
  folder: string,
  repository: string,
  given: HubSettings,
  options: PushOptions,
): Promise<Pushed> {
  const repo = repositoryOf(repository)
  if (given.offline) {
    throw hubError('HF_HUB_OFFLINE keeps from asking the Hub', {
      path: `hf://${repo}`,
      suggestions: ['Unset it while you push.'],
    })
  }
  const listed = await chosenFiles(folder, options)
  const card = await readCard(folder)
  const records = await readRecords(listed, folder)
  compareSizes(records, listed, (path) => selects(options, path))
  if (!options.unchecked) requireCheck(records)
  // A token that is renewed is not the caller's.
  const settings = { ...given }
  const keyless = await signInKeyless(settings, repo, options.env)
  const files = await readAll(listed, settings, options, (file) => compareHashes(records, file))

  const client = renewing(createClient(settings), keyless)
  const warnings = await validateCard(client, card)
  const wanted: PushTargetOptions = {
    ...(options.revision === undefined ? {} : { revision: options.revision }),
    create: options.create,
    createPr: options.createPr,
    private: options.private,
    message: options.message ?? defaultMessage,
  }
  const target = await lookUpTarget(client, repo, wanted)
  const { toCreate: creates, listing } = target
  const difference = differenceOf(files, listing)
  const result: Pushed = {
    repository: repo,
    revision: target.branch,
    url: `${settings.endpoint}/${repo}`,
    commit: listing?.commit ?? null,
    pull_request: target.pullRequest ?? null,
    creates,
    dry_run: options.dryRun,
    files: difference.files,
    remote_only: difference.remoteOnly,
    bytes_to_send: difference.bytesToSend,
    bytes_sent: 0,
    commits: 0,
    warnings,
  }
  if (options.dryRun) return result
  const place = await makeTarget(client, target, wanted)
  // A new repository has a .gitattributes of the Hub's, a new branch all of main.
  const fresh = creates === 'nothing' ? difference : differenceOf(files, place.listing)
  const changed = files.filter(({ path }) =>
    fresh.files.some((file) => file.path === path && file.state !== 'same'),
  )
  const sent = await send(client, place, changed, wanted, options)
  verify(files, sent.listing)
  return {
    ...result,
    commit: sent.listing.commit,
    revision: sent.pullRequest === undefined ? target.branch : `refs/pr/${sent.pullRequest}`,
    pull_request: sent.pullRequest ?? null,
    files: fresh.files,
    remote_only: fresh.remoteOnly,
    bytes_to_send: fresh.bytesToSend,
    bytes_sent: sent.bytes,
    commits: sent.commits,
  }
}

const defaultMessage = 'Upload with openllama'

function repositoryOf(text: string): string {
  const { repo, revision, path } = parseHubPath(text)
  if (revision === undefined && path === '') return repo
  throw usageError(`"${text}" names more than a repository`, {
    suggestions: [`Push to ${repo}; another branch is named with \`revision\`.`],
  })
}

/** An upload may take longer than a token that does not last. */
function renewing(client: HubClient, keyless: Keyless | undefined): HubClient {
  if (keyless === undefined) return client
  const fetchFresh: typeof fetch = async (input, init) => {
    await keyless.renew()
    return client.fetch(input, init)
  }
  return { ...client, fetch: fetchFresh, params: { ...client.params, fetch: fetchFresh } }
}

async function readAll(
  listed: Awaited<ReturnType<typeof chosenFiles>>,
  { token }: HubSettings,
  { signal, onProgress, env = process.env }: PushOptions,
  check: (file: ReadFile) => void,
): Promise<ReadFile[]> {
  const total = listed.reduce((sum, { size }) => sum + size, 0)
  const own = [token, env.HF_OIDC_ID_TOKEN, env.ACTIONS_ID_TOKEN_REQUEST_TOKEN]
  const secrets = own.flatMap((value) => (value ? [value] : []))
  let done = 0
  const onBytes = (bytes: number) => {
    done += bytes
    onProgress?.('verify', done, total)
  }
  const files: ReadFile[] = []
  for (const file of listed) {
    const read = await readOnce(file, { secrets, signal, onBytes })
    check(read)
    files.push(read)
  }
  return files
}

async function send(
  client: HubClient,
  place: Awaited<ReturnType<typeof makeTarget>>,
  files: readonly ReadFile[],
  { message }: PushTargetOptions,
  { signal, onProgress }: PushOptions,
) {
  const total = files.reduce((sum, { size }) => sum + size, 0)
  let done = 0
  return sendFiles(client, place, files, {
    message,
    signal,
    onBytes(bytes) {
      done += bytes
      onProgress?.('send', Math.min(done, total), total)
    },
  })
}

/** @throws hub error where the remote has other content than was read here */
function verify(files: readonly ReadFile[], { repo, commit, files: remote }: HubListing): void {
  const wrong = files.find((file) => !isSame(file, remote.get(file.path)))
  if (wrong === undefined) return
  const there = remote.get(wrong.path)
  const found = there === undefined ? 'is not there' : `has ${there.sha256 ?? there.oid}`
  const ours = there?.sha256 === undefined ? (wrong.gitOid ?? wrong.sha256) : wrong.sha256
  throw new OpenLlamaError('hub', `${wrong.path} ${found} after the push, it should be ${ours}`, {
    path: `hf://${repo}@${commit}`,
    suggestions: [
      'Somebody else may have pushed at the same time: run the command again, it sends what differs.',
    ],
  })
}
