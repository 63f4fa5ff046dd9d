import { usageError } from '../io/errors.js'
import { hubError } from './errors.js'

/** What `hf://owner/repo[@revision][/path]` names. */
export interface HubPath {
  repo: string
  revision: string | undefined
  /** Within the repository; '' is all of it. */
  path: string
}

const scheme = 'hf://'

/** Names of owners and repositories, as the Hub allows them. */
const name = '[\\w-][\\w.-]*'
const repoPattern = new RegExp(`^${name}/${name}$`)

/** Refs whose names have slashes of their own; in other names they are written %2F. */
const refPattern = /^refs\/(pr|convert|heads|tags)\/[^/]+/

/** @throws usage error for what names no repository of models */
export function parseHubPath(text: string): HubPath {
  const inner = text.startsWith(scheme) ? text.slice(scheme.length) : text
  const [, owner = '', repo = '', rest = ''] = /^([^/@]*)\/([^/@]*)(.*)$/s.exec(inner) ?? []
  const full = `${owner}/${repo}`
  if (!isRepoName(full) || ['datasets', 'spaces'].includes(owner)) {
    throw usageError(`"${text}" names no repository of models`, {
      suggestions: [
        'It is written owner/repo, owner/repo@revision, or hf://owner/repo@revision/path.',
      ],
    })
  }
  if (!rest.startsWith('@')) return { repo: full, revision: undefined, path: trim(rest) }
  const after = rest.slice(1)
  const revision = refPattern.exec(after)?.[0] ?? /^[^/]*/.exec(after)?.[0] ?? ''
  if (revision === '') throw usageError(`"${text}" has no revision after the @`)
  return {
    repo: full,
    revision: decoded(revision),
    path: trim(after.slice(revision.length)),
  }
}

function isRepoName(text: string): boolean {
  return repoPattern.test(text) && !text.includes('..')
}

export function formatHubPath(repo: string, commit: string, path: string): string {
  return `${scheme}${repo}@${commit}${path === '' ? '' : `/${path}`}`
}

function trim(path: string): string {
  return path.replace(/^\/+|\/+$/g, '')
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** A whole commit's name: nothing can be put in its place any more. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision)
}

/** Names that Windows gives to devices, with whatever ending. */
const devices = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?$/i

/**
 * Folders that programs take commands from, by whatever name a file system knows them: without
 * regard to case, or as `git~1`. .gitattributes and .gitignore are files like any other.
 */
const commands = /^(\.git|\.hg|\.svn|\.bzr|git~\d+)$/i

/** Names of files are limited to this on all systems. */
const maxName = 255

/**
 * Whether a path of a repository stays within the folder that it is put into, on
 * any system: what is refused here could lie elsewhere on one of them.
 */
export function isSafePath(path: string): boolean {
  return path.split('/').every(
    (step) =>
      step !== '' &&
      step !== '.' &&
      step !== '..' &&
      Buffer.byteLength(step) <= maxName &&
      !hasForbidden(step) &&
      // Windows takes dots and spaces at the end away: "..." and ".. " would be other names.
      !/[. ]$/.test(step) &&
      !devices.test(step) &&
      !commands.test(step),
  )
}

/**
 * What means something else to Windows than a letter of a name; control characters, and those that
 * turn a name around or hide in it (Apple's file systems leave some of them out: `.g\u200cit`).
 */
function hasForbidden(step: string): boolean {
  return /[\\:*?"<>|\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(step)
}

/** A path of others as it can be shown: what cannot be seen by its number. */
function shownPath(path: string): string {
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path
  return JSON.stringify(shown).replace(
    /[^\P{C}\n]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  )
}

/** @throws hub error that names the path */
export function refuseUnsafe(path: string, repo: string): void {
  if (isSafePath(path)) return
  throw hubError(`its listing has the path ${shownPath(path)}, which no folder can safely have`, {
    path: `hf://${repo}`,
    suggestions: [
      'Nothing of it was written. Leave the file out with `exclude` if you trust the rest.',
    ],
  })
}
