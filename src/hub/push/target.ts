import { createBranch, createRepo, HubApiError, modelInfo, whoAmI } from '@huggingface/hub'
import { usageError } from '../../io/errors.js'
import { property } from '../../io/json.js'
import { hubCall, hubError, statusError } from '../errors.js'
import { backOff, type HubClient, maxTries, pause } from '../http.js'
import { isCommit } from '../paths.js'
import { type HubListing, listRepository } from '../repository.js'

/** Where files are to go, as it is before anything is sent. */
export interface PushTarget {
  repo: string
  /** Where commits go: a branch, or refs/pr/1. */
  branch: string
  /** What is there; undefined where the repository, or the branch, has to be made. */
  listing: HubListing | undefined
  toCreate: 'nothing' | 'branch' | 'repository'
  /** A pull request is to be opened with the first commit. */
  opensPullRequest: boolean
  /** The one that an earlier run has opened. */
  pullRequest: number | undefined
  /** The name of who pushes, where the Hub tells. */
  user: string | undefined
}

export interface PushTargetOptions {
  revision?: string
  create: boolean
  createPr: boolean
  private: boolean
  /** What a pull request is called. */
  message: string
}

/** The client wants a token that looks like one; the real one is added where requests are made. */
const params = ({ params }: HubClient) => ({ ...params, accessToken: 'hf_' })

/**
 * Looks up who pushes, and what there is.
 * @throws hub error where it is known now that it cannot go well
 */
export async function lookUpTarget(
  client: HubClient,
  repo: string,
  options: PushTargetOptions,
): Promise<PushTarget> {
  const { revision: branch = 'main', createPr } = options
  const path = `hf://${repo}`
  if (isCommit(branch)) {
    throw usageError(`\`revision\` is the commit ${branch}, a branch is expected`)
  }
  const caller = await callerOf(client)
  const found = await infoOf(client, repo)
  const target = {
    repo,
    branch,
    user: caller?.name,
    opensPullRequest: false,
    pullRequest: undefined,
  }
  if (found === undefined) {
    if (!options.create) {
      throw hubError('there is no such repository, or you may not see it', {
        path,
        suggestions: ['Make it with `create` (and `private`), or check its name.'],
      })
    }
    if (createPr) throw usageError('a new repository has nothing to make a pull request to')
    refuseStrangers(repo, caller)
    return { ...target, listing: undefined, toCreate: 'repository' }
  }
  if (options.private && !found.private) {
    throw hubError('the repository is there already, and everybody can see it', {
      path,
      suggestions: ['Make it private in its settings first, or leave out `private`.'],
    })
  }
  const commit = await commitOf(client, repo, branch)
  if (commit === undefined) {
    if (createPr || branch.startsWith('refs/')) {
      throw hubError(`there is no revision ${branch}`, { path, suggestions: ['Check its name.'] })
    }
    return { ...target, listing: undefined, toCreate: 'branch' }
  }
  const num = createPr ? await findPullRequest(client, target, options.message) : undefined
  const head = num === undefined ? undefined : await commitOf(client, repo, `refs/pr/${num}`)
  if (num !== undefined && head !== undefined) {
    const listing = await listRepository(client, repo, head)
    return { ...target, branch: `refs/pr/${num}`, listing, toCreate: 'nothing', pullRequest: num }
  }
  const listing = await listRepository(client, repo, commit)
  return { ...target, listing, toCreate: 'nothing', opensPullRequest: createPr }
}

/**
 * Makes what is missing.
 * @returns the target, with what is there then
 */
export async function makeTarget(
  client: HubClient,
  target: PushTarget,
  options: PushTargetOptions,
): Promise<PushTarget & { listing: HubListing }> {
  const { repo, branch, toCreate } = target
  if (toCreate === 'repository') {
    const visibility = options.private ? 'private' : 'public'
    await unlessThere(`hf://${repo}`, async () => {
      for (let tries = 1; ; tries++) {
        try {
          await createRepo({ ...params(client), repo, visibility })
          return
        } catch (error) {
          if (!isBusy(error) || tries >= maxTries) throw error
          await pause(backOff(tries, client.settings), undefined)
        }
      }
    })
  }
  const there = toCreate === 'nothing' ? undefined : await commitOf(client, repo, branch)
  if (toCreate !== 'nothing' && there === undefined) {
    await unlessThere(`hf://${repo}@${branch}`, () =>
      createBranch({ ...client.params, repo, branch }),
    )
  }
  const listing = target.listing ?? (await listHead(client, repo, branch))
  return { ...target, listing, toCreate: 'nothing' }
}

/** What a branch has now. */
export async function listHead(
  client: HubClient,
  repo: string,
  branch: string,
): Promise<HubListing> {
  const commit = await commitOf(client, repo, branch)
  if (commit === undefined) throw statusError(404, '', `hf://${repo}@${branch}`)
  return listRepository(client, repo, commit)
}

/** An earlier run's pull request: open, of the same name, by the same user. */
export async function findPullRequest(
  { fetch, settings }: HubClient,
  { repo, user }: Pick<PushTarget, 'repo' | 'user'>,
  title: string,
): Promise<number | undefined> {
  if (user === undefined) return undefined
  const url = `${settings.endpoint}/api/models/${repo}/discussions?type=pull_request&status=open&author=${encodeURIComponent(user)}`
  const response = await fetch(url)
  const answer: unknown = response.ok
    ? await hubCall(`hf://${repo}`, () => response.json())
    : undefined
  const all = property(answer, 'discussions')
  for (const each of Array.isArray(all) ? all : []) {
    const num = property(each, 'num')
    const status = property(each, 'status')
    const isOpen = status === 'open' || status === 'draft'
    const isOurs = property(property(each, 'author'), 'name') === user
    const isPullRequest = property(each, 'isPullRequest') === true
    if (!isOpen || !isOurs || !isPullRequest || property(each, 'title') !== title) continue
    if (typeof num === 'number') return num
  }
  return undefined
}

interface Caller {
  name: string
  organisations: string[]
}

/**
 * @returns undefined for a token of a trusted publisher, which is nobody's
 * @throws hub error without a token, and for one that may only read
 */
async function callerOf(client: HubClient): Promise<Caller | undefined> {
  if (client.settings.token === undefined) {
    throw hubError('there is no token to push with', {
      suggestions: [
        'Set HF_TOKEN to a token that may write, or sign in with `hf auth login`.',
        'In a CI job, a trusted publisher needs no token: docs/hub.md says how.',
      ],
    })
  }
  // Tokens of trusted publishers: the Hub's documentation, docs/hub/trusted-publishers.
  if (client.settings.token.startsWith('hf_jwt_')) return undefined
  const answer: unknown = await hubCall(client.settings.endpoint, () => whoAmI(params(client)))
  const name = property(answer, 'name')
  const role = property(property(property(answer, 'auth'), 'accessToken'), 'role')
  if (role === 'read') {
    throw hubError(`the token of ${typeof name === 'string' ? name : 'this user'} may only read`, {
      path: client.settings.endpoint,
      suggestions: ['Make one that may write at the Hub, and put it into HF_TOKEN.'],
    })
  }
  const all = property(answer, 'orgs')
  const organisations = (Array.isArray(all) ? all : []).flatMap((each) => {
    const organisation = property(each, 'name')
    return typeof organisation === 'string' ? [organisation] : []
  })
  return typeof name === 'string' ? { name, organisations } : undefined
}

function refuseStrangers(repo: string, caller: Caller | undefined): void {
  const [owner = ''] = repo.split('/')
  if (caller === undefined || owner === caller.name || caller.organisations.includes(owner)) return
  throw hubError(`you are ${caller.name}, and ${owner} is none of your organisations`, {
    path: `hf://${repo}`,
    suggestions: ['Check the name, or use a token of somebody who belongs to it.'],
  })
}

async function infoOf(
  { params }: HubClient,
  repo: string,
): Promise<{ private: boolean } | undefined> {
  const info: unknown = await unlessMissing(`hf://${repo}`, () =>
    modelInfo({ ...params, name: repo }),
  )
  return info === undefined ? undefined : { private: property(info, 'private') === true }
}

async function commitOf(
  { params }: HubClient,
  repo: string,
  revision: string,
): Promise<string | undefined> {
  const path = `hf://${repo}@${revision}`
  const info: unknown = await unlessMissing(path, () =>
    modelInfo({ ...params, name: repo, revision, additionalFields: ['sha'] }),
  )
  if (info === undefined) return undefined
  const sha = property(info, 'sha')
  if (typeof sha === 'string' && isCommit(sha)) return sha
  throw hubError('the Hub does not say which commit it is', { path })
}

/** undefined for 404: what there is no access to looks the same. */
function unlessMissing<T>(path: string, work: () => Promise<T>): Promise<T | undefined> {
  return hubCall(path, () =>
    work().catch((error: unknown) => {
      if (error instanceof HubApiError && error.statusCode === 404) return undefined
      throw error
    }),
  )
}

/** The Hub makes one repository of a user at a time, and says so with 409 too. */
function isBusy(error: unknown): boolean {
  return error instanceof HubApiError && /another conflicting operation/.test(error.message)
}

/** 409: an earlier run has made it, or an earlier try whose answer was lost. */
function unlessThere(path: string, work: () => Promise<void>): Promise<void> {
  return hubCall(path, () =>
    work().catch((error: unknown) => {
      if (error instanceof HubApiError && error.statusCode === 409 && !isBusy(error)) return
      throw error
    }),
  )
}
