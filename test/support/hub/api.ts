import { isJsonObject, type Json } from '../../../src/io/json.js'
import { postCommit, preupload } from './commits.js'
import { discussions } from './discussions.js'
import { type Exchange, jsonBody, Refusal, readBody, sendJson } from './exchange.js'
import type { Kind } from './faults.js'
import {
  type Commit,
  createRepository,
  listed,
  listTree,
  type Repository,
  treeOid,
} from './repository.js'
import { callerOf, commitOf, findRepository, type HubState } from './state.js'
import { validateYaml } from './validate.js'

// The paths under /api.

const kinds: Record<string, Kind> = {
  'whoami-v2': 'whoami',
  'validate-yaml': 'validate-yaml',
  repos: 'create',
}

const actionKinds: Record<string, Kind> = {
  revision: 'info',
  refs: 'refs',
  branch: 'refs',
  tag: 'refs',
  tree: 'tree',
  'paths-info': 'paths-info',
  preupload: 'preupload',
  commit: 'commit',
  discussions: 'discussion',
}

/** @param path what comes after /api, decoded */
export function apiKind([first = '', , , action]: readonly string[]): Kind {
  const own = kinds[first]
  if (own !== undefined) return own
  return action === undefined ? 'info' : (actionKinds[action] ?? 'other')
}

export async function serveApi(
  state: HubState,
  exchange: Exchange,
  path: readonly string[],
): Promise<void> {
  const [first = '', owner = '', name = '', action = '', ...rest] = path
  if (first === 'whoami-v2') return whoami(state, exchange)
  if (first === 'validate-yaml') return validateYaml(exchange)
  if (first === 'repos') return repos(state, exchange, owner)
  const type = first.replace(/s$/, '')
  const method = exchange.request.method ?? ''
  const writing = ['branch', 'tag', 'preupload', 'commit'].includes(action)
  const commenting = action === 'discussions' && method === 'POST'
  const access = writing || commenting || method === 'PUT' ? 'write' : 'read'
  const repository = findRepository(state, exchange, type, `${owner}/${name}`, access)
  switch (action) {
    case '':
      return sendJson(exchange, info(exchange, repository, commitOf(repository, 'main')))
    case 'revision':
      return sendJson(exchange, info(exchange, repository, commitOf(repository, rest.join('/'))))
    case 'auth-check':
      return sendJson(exchange, {})
    case 'refs':
      return sendJson(exchange, refs(repository, exchange.url.searchParams.has('include_prs')))
    case 'branch':
      return changeRef(exchange, repository, `refs/heads/${rest.join('/')}`)
    case 'tag':
      return tag(exchange, repository, rest.join('/'))
    case 'commits':
      return sendJson(exchange, history(repository, commitOf(repository, rest.join('/'))))
    case 'tree':
      return tree(state, exchange, repository, rest)
    case 'paths-info':
      return pathsInfo(exchange, commitOf(repository, rest.join('/')))
    case 'preupload':
      return preupload(state, exchange, repository, rest.join('/'))
    case 'commit':
      return postCommit(state, exchange, repository, rest.join('/'))
    case 'discussions':
      return discussions(state, exchange, repository, rest)
    case 'settings':
      return settings(exchange, repository)
    default:
      throw new Refusal(404, `there is no ${action} here`)
  }
}

function whoami(state: HubState, exchange: Exchange): Promise<void> {
  const caller = callerOf(state, exchange)
  if (caller === undefined || caller.only) throw new Refusal(401, 'Invalid username or password.')
  const createdAt = '2026-01-01T00:00:00.000Z'
  return sendJson(exchange, {
    type: 'user',
    id: '000000000000000000000001',
    name: caller.user,
    fullname: caller.user,
    email: null,
    emailVerified: true,
    canPay: false,
    isPro: false,
    periodEnd: null,
    orgs: [],
    auth: {
      type: 'access_token',
      accessToken: { displayName: 'test', role: caller.role, createdAt },
    },
  })
}

async function repos(state: HubState, exchange: Exchange, what: string): Promise<void> {
  const body = await jsonBody(exchange)
  const caller = callerOf(state, exchange)
  if (caller === undefined) throw new Refusal(401, 'Invalid username or password.')
  const type = typeof body.type === 'string' ? body.type : 'model'
  const owner = typeof body.organization === 'string' ? body.organization : caller.user
  const name = `${owner}/${body.name}`
  if (caller.role !== 'write' || owner !== caller.user || caller.only) {
    throw new Refusal(
      403,
      `You don't have the rights to create a model under the namespace "${owner}"`,
    )
  }
  const key = `${type} ${name}`
  const url = `${state.url}/${type === 'model' ? '' : `${type}s/`}${name}`
  if (what === 'delete') {
    if (!state.repositories.delete(key)) {
      throw new Refusal(404, 'Repository not found', 'RepoNotFound')
    }
    return sendJson(exchange, {})
  }
  if (state.repositories.has(key)) {
    const error = 'You already created this model repo'
    return sendJson(exchange, { error, url }, { 'X-Error-Message': error }, 409)
  }
  const repository = createRepository(type, name)
  repository.private = body.private === true || body.visibility === 'private'
  state.repositories.set(key, repository)
  return sendJson(exchange, { url, name, id: '000000000000000000000002' })
}

function info({ url }: Exchange, repository: Repository, commit: Commit): object {
  const blobs = url.searchParams.has('blobs')
  const [first] = repository.commits.values()
  return {
    _id: '000000000000000000000003',
    id: repository.name,
    modelId: repository.name,
    author: repository.name.split('/')[0],
    sha: commit.oid,
    lastModified: commit.date,
    createdAt: first?.date,
    private: repository.private,
    gated: repository.gated ? 'auto' : false,
    disabled: false,
    downloads: 0,
    likes: 0,
    tags: [],
    siblings: [...commit.tree].map(([path, entry]) => ({
      rfilename: path,
      ...(blobs ? { ...listed(path, entry), blobId: entry.oid } : {}),
    })),
  }
}

function refs({ refs }: Repository, withPullRequests: boolean): object {
  const under = (prefix: string) =>
    [...refs]
      .filter(([ref]) => ref.startsWith(prefix))
      .map(([ref, targetCommit]) => ({ name: ref.slice(prefix.length), ref, targetCommit }))
  return {
    branches: under('refs/heads/'),
    tags: under('refs/tags/'),
    converts: [],
    ...(withPullRequests ? { pullRequests: under('refs/pr/') } : {}),
  }
}

async function changeRef(exchange: Exchange, repository: Repository, ref: string): Promise<void> {
  if (exchange.request.method === 'DELETE') {
    if (!repository.refs.delete(ref)) throw new Refusal(404, 'Reference does not exist')
    return sendJson(exchange, {})
  }
  const { startingPoint, overwrite } = await jsonBody(exchange)
  if (repository.refs.has(ref) && overwrite !== true) {
    throw new Refusal(409, `Reference already exists: ${ref}`)
  }
  const start = typeof startingPoint === 'string' ? startingPoint : 'main'
  repository.refs.set(ref, commitOf(repository, start).oid)
  return sendJson(exchange, {})
}

async function tag(exchange: Exchange, repository: Repository, revision: string): Promise<void> {
  if (exchange.request.method === 'DELETE') {
    return changeRef(exchange, repository, `refs/tags/${revision}`)
  }
  const body = await jsonBody(exchange)
  const ref = `refs/tags/${body.tag}`
  if (repository.refs.has(ref)) throw new Refusal(409, `Tag already exists: ${body.tag}`)
  repository.refs.set(ref, commitOf(repository, revision).oid)
  return sendJson(exchange, {})
}

function history({ commits }: Repository, last: Commit): object[] {
  const shown: object[] = []
  let at: Commit | undefined = last
  while (at !== undefined) {
    const { oid, title, description, date } = at
    shown.push({ id: oid, title, message: description, date, authors: [{ user: 'tester' }] })
    at = at.parent === undefined ? undefined : commits.get(at.parent)
  }
  return shown
}

/** One page of a listing; the next one's address is in the Link header. */
function tree(
  { pageSize, url: hub }: HubState,
  exchange: Exchange,
  repository: Repository,
  rest: readonly string[],
): Promise<void> {
  const { url } = exchange
  // Some clients send refs/pr/1 as three steps.
  const whole = rest[0] === 'refs' ? 3 : 1
  const commit = commitOf(repository, rest.slice(0, whole).join('/'))
  const recursive = /^(true|1)$/i.test(url.searchParams.get('recursive') ?? '')
  const all = listTree(commit, rest.slice(whole).join('/'), recursive)
  if (all === undefined) throw new Refusal(404, 'no such folder', 'EntryNotFound')
  const cursor = Number(url.searchParams.get('cursor') ?? 0)
  const next = new URL(`${url.pathname}${url.search}`, hub)
  next.searchParams.set('cursor', String(cursor + pageSize))
  const link = { Link: `<${next.href}>; rel="next"` }
  const page = all.slice(cursor, cursor + pageSize)
  return sendJson(exchange, page, cursor + pageSize < all.length ? link : {})
}

async function pathsInfo(exchange: Exchange, { tree }: Commit): Promise<void> {
  const text = (await readBody(exchange)).toString()
  // Python sends a form, JavaScript sends JSON.
  const form = exchange.request.headers['content-type']?.includes('urlencoded')
  const json: Json = form ? null : JSON.parse(text)
  const listedPaths = isJsonObject(json) ? json.paths : []
  const paths = form ? new URLSearchParams(text).getAll('paths') : [listedPaths ?? []].flat()
  const found = paths.map(String).flatMap((path): object[] => {
    const entry = tree.get(path)
    if (entry !== undefined) return [listed(path, entry)]
    const isFolder = [...tree.keys()].some((each) => each.startsWith(`${path}/`))
    return isFolder ? [{ type: 'directory', oid: treeOid(path), size: 0, path }] : []
  })
  return sendJson(exchange, found)
}

async function settings(exchange: Exchange, repository: Repository): Promise<void> {
  const body = await jsonBody(exchange)
  if (typeof body.private === 'boolean') repository.private = body.private
  if (typeof body.visibility === 'string') repository.private = body.visibility === 'private'
  return sendJson(exchange, {})
}
