import { listFiles, modelInfo } from '@huggingface/hub'
import { property } from '../io/json.js'
import { hubCall, hubError } from './errors.js'
import type { HubClient } from './http.js'
import { isCommit } from './paths.js'

/** A file of a repository, as its listing has it. */
export interface HubFile {
  path: string
  size: number
  /** What git calls it: of a large file, its pointer. */
  oid: string
  /** The SHA-256 of a large file's content. */
  sha256: string | undefined
}

/** All files of a repository in one commit. */
export interface HubListing {
  repo: string
  commit: string
  files: ReadonlyMap<string, HubFile>
}

/** The commit that a revision is now. */
export async function resolveCommit(
  { params }: HubClient,
  repo: string,
  revision = 'main',
): Promise<string> {
  if (isCommit(revision)) return revision
  const info: unknown = await hubCall(`hf://${repo}@${revision}`, () =>
    modelInfo({ ...params, name: repo, revision, additionalFields: ['sha'] }),
  )
  const sha = property(info, 'sha')
  if (typeof sha === 'string' && isCommit(sha)) return sha
  throw hubError('the Hub does not say which commit it is', { path: `hf://${repo}@${revision}` })
}

/** The Hub advises to have less than 100,000 files in a repository, and lists a thousand a page. */
const mostFiles = 1_000_000
const mostPages = 2000

export async function listRepository(
  { params }: HubClient,
  repo: string,
  commit: string,
): Promise<HubListing> {
  const files = new Map<string, HubFile>()
  const endless = (what: string) =>
    hubError(`its listing has no end: ${what} are enough`, { path: `hf://${repo}@${commit}` })
  let pages = 0
  const counting: typeof fetch = (input, init) => {
    if (++pages > mostPages) throw endless(`${mostPages} pages`)
    return params.fetch(input, init)
  }
  await hubCall(`hf://${repo}@${commit}`, async () => {
    const entries = listFiles({
      ...params,
      fetch: counting,
      repo,
      revision: commit,
      recursive: true,
    })
    for await (const entry of entries) {
      const file = fileOf(entry, repo)
      if (file === undefined) continue
      if (files.size === mostFiles) throw endless(`${mostFiles} files`)
      files.set(file.path, file)
    }
  })
  return { repo, commit, files }
}

/** A file of a listing, which is a server's and may be anything; undefined for what is none. */
function fileOf(entry: unknown, repo: string): HubFile | undefined {
  if (property(entry, 'type') !== 'file') return undefined
  const path = property(entry, 'path')
  const lfs = property(entry, 'lfs')
  const size = property(lfs, 'size') ?? property(entry, 'size')
  const oid = property(entry, 'oid')
  if (typeof path !== 'string') {
    throw hubError('its listing has a file without a path', { path: `hf://${repo}` })
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw hubError(`its listing has ${path} with ${brief(size)} bytes`, { path: `hf://${repo}` })
  }
  const sha256 = sha256Of(property(lfs, 'oid'))
  return { path, size, oid: typeof oid === 'string' ? oid : '', sha256 }
}

/** Some answers have "sha256:" before it. */
function sha256Of(oid: unknown): string | undefined {
  const bare = typeof oid === 'string' ? oid.replace(/^sha256:/, '') : ''
  return /^[0-9a-f]{64}$/.test(bare) ? bare : undefined
}

function brief(value: unknown): string {
  return (JSON.stringify(value) ?? 'no').slice(0, 80)
}
