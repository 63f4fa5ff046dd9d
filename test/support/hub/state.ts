import type { Content } from './content.js'
import { type Exchange, Refusal } from './exchange.js'
import type { Ledger } from './faults.js'
import type { Publisher } from './publishers.js'
import { type Commit, type Repository, refOf, resolveRevision } from './repository.js'

export type Role = 'read' | 'write'

/** What a token is good for. */
export interface Caller {
  user: string
  role: Role
  /** The one repository that it is for. */
  only?: string
}

/** All that a local Hub knows. */
export interface HubState extends Ledger {
  /** Where the Hub is. */
  url: string
  /** Where large files are: another host. */
  storageUrl: string
  /** By "model owner/name". */
  repositories: Map<string, Repository>
  /** Large files by SHA-256. */
  objects: Map<string, Content>
  tokens: Map<string, Caller>
  /** CI jobs that repositories trust. */
  publishers: Publisher[]
  /** Entries of a listing at a time. */
  pageSize: number
  /** Large files above this are sent in parts of `partSize`. */
  multipartAbove: number
  partSize: number
  /** Uploads in parts that have begun. */
  uploads: number
  /** What signed links must carry; links of another generation have expired. */
  linkGeneration: number
}

/** What the token of a request may do; undefined without one. */
export function callerOf({ tokens }: HubState, { request }: Exchange): Caller | undefined {
  const given = request.headers.authorization
  if (given === undefined) return undefined
  const caller = tokens.get(given.replace(/^Bearer /i, ''))
  if (caller === undefined) throw new Refusal(401, 'Invalid credentials in Authorization header')
  return caller
}

export function findRepository(
  state: HubState,
  exchange: Exchange,
  type: string,
  name: string,
  access: Role,
): Repository {
  const caller = callerOf(state, exchange)
  const repository = state.repositories.get(`${type} ${name}`)
  const mine = caller?.user === name.split('/')[0] && (caller?.only ?? name) === name
  if (repository === undefined || (repository.private && !mine)) {
    if (caller === undefined) throw new Refusal(401, 'Invalid username or password.')
    throw new Refusal(404, 'Repository not found', 'RepoNotFound')
  }
  if (repository.gated && !mine) {
    throw new Refusal(
      caller === undefined ? 401 : 403,
      `Access to model ${name} is restricted. You must have access to it and be authenticated to access it. Please log in.`,
      'GatedRepo',
    )
  }
  if (access === 'write') {
    if (caller === undefined) throw new Refusal(401, 'Invalid username or password.')
    if (!mine || caller.role !== 'write') {
      throw new Refusal(
        403,
        'you must use a write token to upload to a repository, and have write access to it',
      )
    }
  }
  return repository
}

/** The address of a large file in the storage, as it is valid for a while. */
export function signedLink(state: HubState, kind: string, sha256: string, more = ''): string {
  return `${state.storageUrl}/${kind}/${sha256}?signature=${state.linkGeneration}${more}`
}

export function commitOf(repository: Repository, revision: string): Commit {
  const commit = resolveRevision(repository, revision)
  if (commit === undefined) {
    throw new Refusal(404, `Invalid rev id: ${revision}`, 'RevisionNotFound')
  }
  return commit
}

/** The ref that a commit goes to. */
export function targetRef(repository: Repository, revision: string): string {
  const ref = refOf(repository, revision)
  if (ref === undefined) throw new Refusal(404, `Invalid rev id: ${revision}`, 'RevisionNotFound')
  return ref
}
