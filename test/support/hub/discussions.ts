import { type Exchange, jsonBody, Refusal, sendJson } from './exchange.js'
import { addCommit, type Change, type Discussion, type Repository } from './repository.js'
import { commitOf, type HubState } from './state.js'

/** Discussions and pull requests: they are numbered together. */
export async function discussions(
  state: HubState,
  exchange: Exchange,
  repository: Repository,
  [num, action]: readonly string[],
): Promise<void> {
  const posting = exchange.request.method === 'POST'
  if (num === undefined && !posting) {
    const all = repository.discussions.map((each) => shown(repository, each))
    return sendJson(exchange, { discussions: all, count: all.length, start: 0 })
  }
  if (num === undefined) {
    const { title, description, pullRequest } = await jsonBody(exchange)
    const opened =
      pullRequest === true
        ? openPullRequest(repository, String(title), String(description), 'refs/heads/main')
        : openDiscussion(repository, String(title), String(description), false, '')
    if (opened.isPullRequest) {
      opened.status = 'draft'
      repository.refs.set(`refs/pr/${opened.num}`, commitOf(repository, 'main').oid)
    }
    const url = pullRequestUrl(state, repository, opened)
    return sendJson(exchange, { num: opened.num, url, pullRequest: opened.isPullRequest })
  }
  const found = repository.discussions.find((each) => each.num === Number(num))
  if (found === undefined) throw new Refusal(404, `no discussion ${num}`)
  if (posting) {
    const { status, comment } = await jsonBody(exchange)
    if (action === 'comment') found.comments.push(String(comment))
    else if (action === 'merge') merge(repository, found)
    else if (status === 'open' || status === 'closed') found.status = status
  }
  return sendJson(exchange, shown(repository, found))
}

function openDiscussion(
  { discussions }: Repository,
  title: string,
  description: string,
  isPullRequest: boolean,
  base: string,
): Discussion {
  const opened: Discussion = {
    num: discussions.length + 1,
    title,
    isPullRequest,
    status: 'open',
    createdAt: new Date().toISOString(),
    base,
    comments: [description],
  }
  discussions.push(opened)
  return opened
}

export function openPullRequest(
  repository: Repository,
  title: string,
  description: string,
  base: string,
): Discussion {
  return openDiscussion(repository, title, description, true, base)
}

export function pullRequestUrl(
  { url }: HubState,
  { name }: Repository,
  { num }: Discussion,
): string {
  return `${url}/${name}/discussions/${num}`
}

/** Takes over what a pull request has otherwise than its base. */
function merge(repository: Repository, request: Discussion): void {
  const ours = commitOf(repository, request.base).tree
  const theirs = commitOf(repository, `refs/pr/${request.num}`).tree
  const changes: Change[] = [...theirs].map(([path, entry]) => ({ path, entry }))
  for (const path of ours.keys()) if (!theirs.has(path)) changes.push({ path, remove: 'file' })
  const { title } = request
  request.mergeCommit = addCommit(repository, request.base, title, '', changes).oid
  request.status = 'merged'
}

function shown({ name, type }: Repository, request: Discussion): object {
  const { num, title, status, createdAt, isPullRequest, base, comments, mergeCommit } = request
  const author = { name: 'tester' }
  return {
    num,
    title,
    status,
    createdAt,
    isPullRequest,
    author,
    repo: { name, type },
    repoOwner: { name: name.split('/')[0], type: 'user' },
    events: comments.map((raw, i) => ({
      id: `event${i}`,
      type: 'comment',
      createdAt,
      author,
      data: { edited: false, hidden: false, latest: { raw, updatedAt: createdAt, author } },
    })),
    ...(isPullRequest
      ? {
          filesWithConflicts: [],
          changes: { base, ...(mergeCommit ? { mergeCommitId: mergeCommit } : {}) },
          diff: '',
        }
      : {}),
  }
}
