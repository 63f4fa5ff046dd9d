import { basename, dirname, resolve } from 'node:path'
import type { Origin } from './store.js'

/**
 * The folder of a repository in huggingface_hub's cache, `models--owner--repo/snapshots/COMMIT`:
 * what it is called is the repository's name, and not the commit's.
 */
export interface Snapshot {
  /** owner/repo, or the name alone of the Hub's oldest models. */
  repository: string
  /** Undefined where the folder's name is no commit: a copy made by hand. */
  commit: string | undefined
}

/** The snapshot that a path of this machine is of, or undefined; of a folder within one, none. */
export function snapshotOf(folder: string): Snapshot | undefined {
  const path = resolve(folder)
  if (basename(dirname(path)) !== 'snapshots') return undefined
  const [, repository = ''] = /^models--(.+)$/.exec(basename(dirname(dirname(path)))) ?? []
  if (repository === '') return undefined
  const commit = basename(path)
  return {
    repository: repository.replace('--', '/'),
    commit: /^[0-9a-f]{40}$/.test(commit) ? commit : undefined,
  }
}

/** Where the files of a snapshot are from; the nearest folder that is one counts. */
export function originOf(file: string): Origin | undefined {
  for (let at = resolve(file); dirname(at) !== at; at = dirname(at)) {
    const { repository, commit } = snapshotOf(at) ?? {}
    if (repository !== undefined && commit !== undefined) return { repository, commit }
  }
  return undefined
}
