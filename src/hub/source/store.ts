import { join } from 'node:path'
import type { Entry, RemoteSource, Store } from '../../io/store.js'
import { findSnapshot } from '../cache.js'
import { hubError } from '../errors.js'
import { createClient } from '../http.js'
import { readSignedIn } from '../oidc.js'
import { formatHubPath, isCommit, parseHubPath } from '../paths.js'
import { pullFiles } from '../pull/pull.js'
import { type HubFile, type HubListing, listRepository, resolveCommit } from '../repository.js'
import type { HubSettings } from '../settings.js'
import { openRanges } from './ranges.js'
import { openLarge, openSmall } from './source.js'

/** Files that git itself keeps have no more; they are fetched whole. */
const largest = 16 * 1024 * 1024

/**
 * The Hub as a place of sources: `hf://owner/repo[@revision][/path]`.
 * @param given what is set; else what the environment says
 * @param onWait told of another run that is fetching a file and is waited for
 */
export async function openHubStore(
  given?: HubSettings,
  onWait?: HubSettings['onWait'],
): Promise<Store> {
  const set = given ?? (await readSignedIn())
  const settings = onWait === undefined ? set : { ...set, onWait }
  const client = createClient(settings)
  const listings = new Map<string, Promise<HubListing>>()
  const sources = new Map<string, Promise<RemoteSource>>()

  const listingOf = (repo: string, commit: string): Promise<HubListing> => {
    const key = `${repo}@${commit}`
    const listing = listings.get(key) ?? listRepository(client, repo, commit)
    listings.set(key, listing)
    return listing
  }

  const locate = async (text: string): Promise<{ listing: HubListing; path: string }> => {
    const { repo, revision = '', path } = parseHubPath(text)
    if (!isCommit(revision)) throw new Error(`${text} is of no commit`)
    return { listing: await listingOf(repo, revision), path }
  }

  const look = async (text: string): Promise<Entry | undefined> => {
    const { listing, path } = await locate(text)
    const file = listing.files.get(path)
    if (file !== undefined) return { kind: 'file', size: file.size }
    const inside = [...listing.files.keys()].some((each) => isIn(each, path))
    return inside || path === '' ? { kind: 'folder', size: 0 } : undefined
  }

  const open = async (text: string): Promise<RemoteSource> => {
    const { listing, path } = await locate(text)
    const file = listing.files.get(path)
    if (file === undefined) {
      throw hubError('there is no such file in the repository', {
        path: text,
        suggestions: [`It has ${[...listing.files.keys()].slice(0, 20).join(', ')}.`],
      })
    }
    const ranges = openRanges(client, listing, file)
    if (file.sha256 === undefined && file.size <= largest) return openSmall(text, file, ranges)
    return openLarge(text, file, ranges)
  }

  return {
    async resolve(text) {
      const { repo, revision, path } = parseHubPath(text)
      if (settings.offline) return (await findSnapshot(settings.cache, repo, revision, path)).path
      return formatHubPath(repo, await resolveCommit(client, repo, revision), path)
    },
    look,
    async list(folder) {
      const { listing, path } = await locate(folder)
      const inside = [...listing.files.keys()].filter((each) => isIn(each, path))
      const from = path === '' ? 0 : path.length + 1
      return [...new Set(inside.map((each) => each.slice(from).split('/')[0] ?? ''))]
    },
    open(text) {
      // Kept open: what was read ahead serves whoever opens it next.
      const known = sources.get(text)
      if (known !== undefined) return known
      const source = open(text)
      sources.set(text, source)
      source.catch(() => sources.delete(text))
      return source
    },
    async bring(text, files) {
      const { listing, path } = await locate(text)
      const wanted = new Set(files.map((file) => parseHubPath(file).path))
      const folders = new Set([...[...wanted, path].map(folderOf), path, ''])
      const chosen = [...listing.files.values()].filter(
        (file) => wanted.has(file.path) || (isSmall(file) && folders.has(folderOf(file.path))),
      )
      const snapshot = await pullFiles(client, listing, chosen)
      return path === '' ? snapshot : join(snapshot, ...path.split('/'))
    },
    origin(text) {
      const { repo, revision = '' } = parseHubPath(text)
      return { repository: repo, commit: revision }
    },
  }
}

function folderOf(path: string): string {
  return path.split('/').slice(0, -1).join('/')
}

/** Configurations, cards, tokenizers. */
function isSmall({ path, size, sha256 }: HubFile): boolean {
  return size <= largest && (sha256 === undefined || /(^|\/)tokenizer\./.test(path))
}

function isIn(path: string, folder: string): boolean {
  return folder === '' || path.startsWith(`${folder}/`)
}
