import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { apiKind, serveApi } from './api.js'
import { fileContent, memoryContent } from './content.js'
import { Cut, type Exchange, openExchange, Refusal, sendContent, sendJson } from './exchange.js'
import { countOf, type Kind } from './faults.js'
import { exchangeToken } from './publishers.js'
import {
  addCommit,
  type Commit,
  createRepository,
  type Entry,
  lfsEntry,
  type Repository,
  textEntry,
} from './repository.js'
import { commitOf, findRepository, type HubState, type Role, signedLink } from './state.js'
import { lfsBatch, lfsVerify, openStorage, storageKind } from './storage.js'

/** A Hub on this machine, which tests fill, spoil, and ask what came. */
export interface Hub extends HubState {
  addToken(token: string, user: string, role: Role): void
  /** Puts files into a repository of models, made where it is not there, in one commit. */
  commit(name: string, files: Record<string, Uint8Array | string | Entry>): Promise<Commit>
  repository(name: string): Repository
  count(...kinds: Kind[]): { requests: number; sent: number; received: number }
  /** Forgets what came. */
  reset(): void
  close(): Promise<void>
}

/** Starts a local Hub, and another host beside it that keeps its large files. */
export async function startHub(): Promise<Hub> {
  const state: HubState = {
    url: '',
    storageUrl: '',
    repositories: new Map(),
    objects: new Map(),
    tokens: new Map(),
    publishers: [],
    faults: [],
    requests: [],
    pageSize: 1000,
    multipartAbove: 5 * 1024 ** 3,
    partSize: 8 * 1024 * 1024,
    uploads: 0,
    linkGeneration: 1,
  }
  const hubServer = await listen('127.0.0.1', (request, response) => {
    const url = new URL(request.url ?? '/', state.url)
    const path = stepsOf(url)
    return answer(state, hubKind(request, path), request, response, url, (exchange) =>
      serveHub(state, exchange, path),
    )
  })
  const storage = openStorage(state)
  const storageServer = await listen('localhost', (request, response) => {
    const url = new URL(request.url ?? '/', state.storageUrl)
    const path = stepsOf(url)
    return answer(state, storageKind(path), request, response, url, (exchange) =>
      storage(exchange, path),
    )
  })
  state.url = `http://127.0.0.1:${portOf(hubServer)}`
  state.storageUrl = `http://localhost:${portOf(storageServer)}`
  return Object.assign(state, {
    addToken(token: string, user: string, role: Role) {
      state.tokens.set(token, { user, role })
    },
    async commit(name: string, files: Record<string, Uint8Array | string | Entry>) {
      const repository = state.repositories.get(`model ${name}`) ?? createRepository('model', name)
      state.repositories.set(`model ${name}`, repository)
      const changes = Object.entries(files).map(([path, given]) => ({
        path,
        entry: entryOf(path, given),
      }))
      for (const { entry } of changes) {
        if (entry.lfs) state.objects.set(entry.content.sha256, entry.content)
      }
      return addCommit(repository, 'refs/heads/main', 'add files', '', changes)
    },
    repository(name: string) {
      const found = state.repositories.get(`model ${name}`)
      if (found === undefined) throw new Error(`there is no repository ${name}`)
      return found
    },
    count: (...kinds: Kind[]) => countOf(state, ...kinds),
    reset() {
      state.requests.length = 0
      state.faults.length = 0
    },
    async close() {
      for (const server of [hubServer, storageServer]) {
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      }
    },
  })
}

/** A local file in the place of a large one. */
export async function largeFile(path: string, sha256?: string): Promise<Entry> {
  return lfsEntry(await fileContent(path, sha256))
}

export function largeBytes(bytes: Uint8Array): Entry {
  return lfsEntry(memoryContent(bytes))
}

/** JSON and text are small files, as they would be at the Hub. */
function entryOf(path: string, given: Uint8Array | string | Entry): Entry {
  if (typeof given === 'string') return textEntry(new TextEncoder().encode(given))
  if (!(given instanceof Uint8Array)) return given
  return /\.(json|md|txt|py|jinja)$/.test(path) ? textEntry(given) : largeBytes(given)
}

async function listen(
  host: string,
  handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<Server> {
  const server = createServer((request, response) => void handle(request, response))
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return server
}

function portOf(server: Server): number {
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('the server is not open')
  return address.port
}

function stepsOf({ pathname }: URL): string[] {
  return pathname.split('/').slice(1).map(decodeURIComponent)
}

const lfsPath = /\.git$/

function hubKind({ method }: IncomingMessage, path: readonly string[]): Kind {
  if (path[0] === 'api') return apiKind(path.slice(1))
  if (path[0] === 'oauth') return 'token'
  if (path.some((step) => lfsPath.test(step))) return path.at(-1) === 'batch' ? 'batch' : 'verify'
  return method === 'HEAD' ? 'head' : 'resolve'
}

async function serveHub(
  state: HubState,
  exchange: Exchange,
  path: readonly string[],
): Promise<void> {
  if (path[0] === 'api') return serveApi(state, exchange, path.slice(1))
  if (path[0] === 'oauth') return exchangeToken(state, exchange)
  const prefixed = /^(datasets|spaces)$/.exec(path[0] ?? '')
  const type = prefixed?.[1]?.replace(/s$/, '') ?? 'model'
  const [owner = '', name = '', how, ...rest] = prefixed ? path.slice(1) : path
  if (lfsPath.test(name)) {
    const repository = `${owner}/${name.replace(lfsPath, '')}`
    if (path.at(-1) === 'verify') return lfsVerify(state, exchange)
    return lfsBatch(state, exchange, type, repository)
  }
  if (how !== 'resolve' && how !== 'raw') throw new Refusal(404, 'there is no such page')
  const repository = findRepository(state, exchange, type, `${owner}/${name}`, 'read')
  const whole = rest[0] === 'refs' ? 3 : 1
  const commit = commitOf(repository, rest.slice(0, whole).join('/'))
  return resolveFile(state, exchange, commit, rest.slice(whole).join('/'))
}

/** A small file itself, or the way to a large one. */
async function resolveFile(
  state: HubState,
  exchange: Exchange,
  { oid, tree }: Commit,
  path: string,
): Promise<void> {
  const { response, fault } = exchange
  response.setHeader('X-Repo-Commit', oid)
  const entry = tree.get(path)
  if (entry === undefined) throw new Refusal(404, 'Entry not found', 'EntryNotFound')
  const { content, lfs } = entry
  if (!lfs) return sendContent(exchange, content, { ETag: `"${entry.oid}"` })
  const etag = fault && 'etag' in fault ? fault.etag : `"${content.sha256}"`
  response.writeHead(302, {
    Location: signedLink(state, 'file', content.sha256),
    'X-Linked-Size': String(content.size),
    'X-Linked-Etag': etag,
    ETag: etag,
    'Content-Length': '0',
  })
  response.end()
}

async function answer(
  state: HubState,
  kind: Kind,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  serve: (exchange: Exchange) => Promise<void>,
): Promise<void> {
  // A client that goes away is what many tests are about.
  request.on('error', () => {})
  response.on('error', () => {})
  let exchange: Exchange | undefined
  try {
    exchange = await openExchange(state, kind, request, response, url)
    await serve(exchange)
  } catch (error) {
    if (error instanceof Cut || response.headersSent || response.destroyed) return
    const { status, headers, message } =
      error instanceof Refusal
        ? error
        : { status: 500, headers: {}, message: `the test's Hub failed: ${String(error)}` }
    if (exchange === undefined) response.writeHead(status).end()
    else await sendJson(exchange, { error: message }, headers, status)
  }
}
