import { readSignedIn } from '../hub/oidc.js'
import { type Pulled, pull as pullWith } from '../hub/pull/pull.js'
import { type Pushed, push as pushWith } from '../hub/push/push.js'
import { readHubSettings } from '../hub/settings.js'
import type { Attendance } from './progress.js'

/** What both directions take. */
export interface HubOptions {
  /** Globs of the paths to take; by default all. */
  include?: readonly string[]
  /** Globs of the paths to leave out. */
  exclude?: readonly string[]
  /** Where HF_TOKEN, HF_HOME and their kin are looked for; by default the process's environment. */
  env?: Readonly<Record<string, string | undefined>>
}

export interface PullOptions extends HubOptions {
  /** A folder that gets the files too; by default they are in the cache alone. */
  out?: string
  /** Links into the cache in the place of files in `out`. */
  link?: boolean
  /** Replace other files in `out`. */
  force?: boolean
}

export interface PushOptions extends HubOptions {
  /** The branch; by default main. */
  revision?: string
  /** Make the repository where it is not there. */
  create?: boolean
  /** Make it private; one that is there must be. */
  private?: boolean
  /** Open a pull request, or go on with an open one of the same message. */
  createPr?: boolean
  message?: string
  /** Push what no check has passed. */
  unchecked?: boolean
  /** Find out what differs, and send nothing. */
  dryRun?: boolean
}

/** Brings `owner/repo[@revision]` into the cache that huggingface_hub keeps, verified. */
export async function pull(
  repository: string,
  { out, link, force, include, exclude, env, signal, onProgress }: PullOptions & Attendance = {},
): Promise<Pulled> {
  const settings = await readSignedIn(env)
  return pullWith(
    repository,
    { ...settings, onWait: (holder) => onProgress?.({ phase: 'wait', holder }) },
    {
      ...(out === undefined ? {} : { out }),
      link: link ?? false,
      force: force ?? false,
      include: include ?? [],
      exclude: exclude ?? [],
      ...(signal === undefined ? {} : { signal }),
      onProgress: (done, total) => onProgress?.({ phase: 'fetch', done, total }),
    },
  )
}

/** Publishes a folder: everything that can be known to be wrong is known before anything is sent. */
export async function push(
  folder: string,
  repository: string,
  options: PushOptions & Attendance = {},
): Promise<Pushed> {
  const { revision, message, env, signal, onProgress } = options
  return pushWith(folder, repository, await readHubSettings(env), {
    ...(revision === undefined ? {} : { revision }),
    ...(message === undefined ? {} : { message }),
    create: options.create ?? false,
    createPr: options.createPr ?? false,
    private: options.private ?? false,
    include: options.include ?? [],
    exclude: options.exclude ?? [],
    unchecked: options.unchecked ?? false,
    dryRun: options.dryRun ?? false,
    ...(env === undefined ? {} : { env }),
    ...(signal === undefined ? {} : { signal }),
    onProgress: (phase, done, total) => onProgress?.({ phase, done, total }),
  })
}
