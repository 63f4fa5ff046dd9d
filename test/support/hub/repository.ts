import { createHash } from 'node:crypto'
import { type Content, gitOid, lfsPointer } from './content.js'

/** A file in a commit. */
export interface Entry {
  /** The name that git gives it; of a large file, to its pointer. */
  oid: string
  content: Content
  /** Whether it is kept as a large file. */
  lfs: boolean
}

export interface Commit {
  oid: string
  title: string
  description: string
  date: string
  parent: string | undefined
  tree: ReadonlyMap<string, Entry>
}

export interface Discussion {
  num: number
  title: string
  isPullRequest: boolean
  status: 'draft' | 'open' | 'closed' | 'merged'
  createdAt: string
  base: string
  comments: string[]
  mergeCommit?: string
}

/** What a commit does to one path. */
export type Change = { path: string; entry: Entry } | { path: string; remove: 'file' | 'folder' }

export interface Repository {
  /** "model", "dataset" or "space". */
  type: string
  /** owner/name */
  name: string
  private: boolean
  gated: boolean
  commits: Map<string, Commit>
  /** refs/heads/main → commit; branches, tags and pull requests alike. */
  refs: Map<string, string>
  discussions: Discussion[]
}

export function createRepository(type: string, name: string): Repository {
  const repository: Repository = {
    type,
    name,
    private: false,
    gated: false,
    commits: new Map(),
    refs: new Map(),
    discussions: [],
  }
  const attributes = new TextEncoder().encode(gitAttributes)
  addCommit(repository, 'refs/heads/main', 'initial commit', '', [
    { path: '.gitattributes', entry: textEntry(attributes) },
  ])
  return repository
}

/** What the Hub puts into every new repository, in part. */
const gitAttributes = [
  'bin',
  'gguf',
  'h5',
  'model',
  'msgpack',
  'onnx',
  'pth',
  'safetensors',
  'tflite',
  'zip',
]
  .map((ending) => `*.${ending} filter=lfs diff=lfs merge=lfs -text\n`)
  .join('')

/** A small file, kept by git itself. */
export function textEntry(bytes: Uint8Array): Entry {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return {
    oid: gitOid(bytes),
    lfs: false,
    content: {
      size: bytes.length,
      sha256,
      read: async (start, end) => bytes.subarray(start, end),
    },
  }
}

export function lfsEntry(content: Content): Entry {
  return { oid: gitOid(lfsPointer(content)), lfs: true, content }
}

/** Adds a commit to a ref. */
export function addCommit(
  repository: Repository,
  ref: string,
  title: string,
  description: string,
  changes: readonly Change[],
): Commit {
  const parent = repository.refs.get(ref)
  const tree = new Map(parent === undefined ? [] : repository.commits.get(parent)?.tree)
  for (const change of changes) {
    if ('entry' in change) tree.set(change.path, change.entry)
    else {
      for (const path of [...tree.keys()]) {
        const inside = change.remove === 'folder' && path.startsWith(`${change.path}/`)
        if (path === change.path || inside) tree.delete(path)
      }
    }
  }
  const date = new Date().toISOString()
  const hash = createHash('sha1').update(`${parent} ${title} ${date} ${repository.commits.size}`)
  for (const [path, { oid }] of tree) hash.update(`${path}\0${oid}\n`)
  const commit = { oid: hash.digest('hex'), title, description, date, parent, tree }
  repository.commits.set(commit.oid, commit)
  repository.refs.set(ref, commit.oid)
  return commit
}

/** The full name of what a request calls a revision: a branch, a tag, refs/pr/1. */
export function refOf({ refs }: Repository, revision: string): string | undefined {
  return [revision, `refs/heads/${revision}`, `refs/tags/${revision}`].find((ref) => refs.has(ref))
}

/** The commit of a branch, a tag, refs/pr/1, or of its own name. */
export function resolveRevision(repository: Repository, revision: string): Commit | undefined {
  const ref = refOf(repository, revision === 'HEAD' ? 'main' : revision)
  const oid = ref === undefined ? revision : repository.refs.get(ref)
  return oid === undefined ? undefined : repository.commits.get(oid)
}

/** A file or a folder as listings show it. */
export function listed(path: string, { oid, content, lfs }: Entry): object {
  const { size, sha256 } = content
  return {
    type: 'file',
    oid,
    size,
    path,
    ...(lfs ? { lfs: { oid: sha256, size, pointerSize: lfsPointer(content).length } } : {}),
  }
}

/** The files under a folder, and the folders among them; undefined where there is no such folder. */
export function listTree(
  { tree }: Commit,
  folder: string,
  recursive: boolean,
): object[] | undefined {
  const prefix = folder === '' ? '' : `${folder}/`
  const files = [...tree].filter(([path]) => path.startsWith(prefix))
  if (folder !== '' && files.length === 0) return undefined
  const folders = new Set<string>()
  const shown: object[] = []
  for (const [path, entry] of files.sort(([a], [b]) => (a < b ? -1 : 1))) {
    const steps = path.slice(prefix.length).split('/')
    for (let i = 1; i < steps.length; i++) {
      const parent = `${prefix}${steps.slice(0, i).join('/')}`
      if (folders.has(parent) || (i > 1 && !recursive)) continue
      folders.add(parent)
      shown.push({ type: 'directory', oid: treeOid(parent), size: 0, path: parent })
    }
    if (recursive || steps.length === 1) shown.push(listed(path, entry))
  }
  return shown
}

export function treeOid(path: string): string {
  return createHash('sha1').update(`tree ${path}`).digest('hex')
}
