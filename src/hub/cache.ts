import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hubError } from './errors.js'
import { isCommit, isSafePath } from './paths.js'

// The cache of huggingface_hub: models--owner--repo/{blobs,refs,snapshots}.

export function repositoryFolder(cache: string, repo: string): string {
  return join(cache, `models--${repo.replaceAll('/', '--')}`)
}

/**
 * The local path of what was pulled of a repository.
 * @throws hub error where it is not there: nothing can be asked without a network
 */
export async function findSnapshot(
  cache: string,
  repo: string,
  revision = 'main',
  path = '',
): Promise<string> {
  const folder = repositoryFolder(cache, repo)
  const commit = isCommit(revision) ? revision : await readRef(folder, revision)
  const local = commit === undefined ? undefined : join(folder, 'snapshots', commit, path)
  if (local !== undefined && (await stat(local).catch(() => undefined))) return local
  throw hubError('it is not in the cache, and HF_HUB_OFFLINE keeps from asking the Hub', {
    path: `hf://${repo}@${revision}${path === '' ? '' : `/${path}`}`,
    suggestions: [
      `Pull it while there is a network (openllama pull ${repo}), or unset HF_HUB_OFFLINE.`,
    ],
  })
}

/** The commit that a revision was when it was last asked for. */
export async function readRef(folder: string, revision: string): Promise<string | undefined> {
  if (!isSafePath(revision)) return undefined
  const text = await readFile(join(folder, 'refs', ...revision.split('/')), 'utf8').catch(() => '')
  return isCommit(text.trim()) ? text.trim() : undefined
}
