import { isJsonObject, type Json, type JsonObject } from '../../../src/io/json.js'
import { openPullRequest, pullRequestUrl } from './discussions.js'
import { type Exchange, jsonBody, Refusal, readBody, sendJson } from './exchange.js'
import { addCommit, type Change, lfsEntry, type Repository, textEntry } from './repository.js'
import { commitOf, type HubState, targetRef } from './state.js'

/** Files above this are large files, whatever their names. */
const largeAbove = 10 * 1024 * 1024

/** Says of each file whether it goes into a commit itself, or to the storage of large files. */
export async function preupload(
  _: HubState,
  exchange: Exchange,
  repository: Repository,
  revision: string,
): Promise<void> {
  const { files, gitAttributes } = await jsonBody(exchange)
  const { tree, oid } = commitOf(repository, revision)
  const kept = await tree.get('.gitattributes')?.content.read(0, 1e6)
  const attributes =
    typeof gitAttributes === 'string' ? gitAttributes : new TextDecoder().decode(kept)
  const endings = [...attributes.matchAll(/^\*(\.\w+) filter=lfs/gm)].map(
    ([, ending = '']) => ending,
  )
  if (!Array.isArray(files)) throw new Refusal(400, '"files" must be an array')
  return sendJson(exchange, {
    commitOid: oid,
    files: files.filter(isJsonObject).map(({ path, size, sample }) => {
      const name = String(path)
      const bytes = Buffer.from(String(sample), 'base64')
      const large =
        Number(size) > largeAbove ||
        endings.some((ending) => name.endsWith(ending)) ||
        bytes.includes(0)
      const there = tree.get(name)
      return {
        path: name,
        uploadMode: large ? 'lfs' : 'regular',
        shouldIgnore: false,
        ...(there === undefined ? {} : { oid: there.lfs ? there.content.sha256 : there.oid }),
      }
    }),
  })
}

/** A commit as lines of JSON: a header, then one operation a line. */
export async function postCommit(
  state: HubState,
  exchange: Exchange,
  repository: Repository,
  revision: string,
): Promise<void> {
  const lines = (await readBody(exchange)).toString().split('\n')
  const items = lines.filter((line) => line.trim() !== '').map(parseLine)
  const header = items.find(({ key }) => key === 'header')?.value ?? {}
  const title = header.summary
  if (typeof title !== 'string' || title === '') throw new Refusal(400, 'a summary is required')
  const description = typeof header.description === 'string' ? header.description : ''
  const changes = items.filter(({ key }) => key !== 'header').map((item) => changeOf(state, item))
  const base = targetRef(repository, revision)
  const head = repository.refs.get(base)
  const pullRequest = exchange.url.searchParams.has('create_pr')
  const { parentCommit } = header
  if (!pullRequest && typeof parentCommit === 'string' && parentCommit !== head) {
    throw new Refusal(412, 'A commit has happened since. Please refresh and try again.')
  }
  for (const change of changes) {
    if ('remove' in change && change.remove === 'file') {
      const tree = commitOf(repository, revision).tree
      if (!tree.has(change.path)) throw new Refusal(404, `no file ${change.path}`, 'EntryNotFound')
    }
  }
  const opened = pullRequest ? openPullRequest(repository, title, description, base) : undefined
  const ref = opened === undefined ? base : `refs/pr/${opened.num}`
  if (opened !== undefined && head !== undefined) {
    const start = typeof parentCommit === 'string' ? parentCommit : head
    repository.refs.set(ref, start)
  }
  const commit = addCommit(repository, ref, title, description, changes)
  return sendJson(exchange, {
    success: true,
    commitOid: commit.oid,
    commitUrl: `${state.url}/${repository.name}/commit/${commit.oid}`,
    hookOutput: '',
    ...(opened === undefined
      ? {}
      : { pullRequestUrl: pullRequestUrl(state, repository, opened), pullRequestNum: opened.num }),
  })
}

interface Item {
  key: Json | undefined
  value: JsonObject
}

function parseLine(line: string): Item {
  const item: Json = JSON.parse(line)
  if (!isJsonObject(item) || !isJsonObject(item.value)) throw new Refusal(400, 'no operation')
  return { key: item.key, value: item.value }
}

function changeOf({ objects }: HubState, { key, value }: Item): Change {
  const path = String(value.path)
  if (key === 'deletedFile') return { path, remove: 'file' }
  if (key === 'deletedFolder') return { path: path.replace(/\/$/, ''), remove: 'folder' }
  if (path.split('/').some((step) => step === '' || step === '.' || step === '..')) {
    throw new Refusal(400, `path invalid: ${path}`)
  }
  if (key === 'file') {
    const encoding = value.encoding === 'base64' ? 'base64' : 'utf8'
    const bytes = Buffer.from(String(value.content), encoding)
    if (bytes.length > largeAbove) throw new Refusal(413, `${path} must be a large file`)
    return { path, entry: textEntry(bytes) }
  }
  if (key !== 'lfsFile') throw new Refusal(400, `unknown operation ${String(key)}`)
  const content = objects.get(String(value.oid))
  if (content === undefined) {
    throw new Refusal(400, `LFS pointer pointed to a file that does not exist: ${path}`)
  }
  return { path, entry: lfsEntry(content) }
}
