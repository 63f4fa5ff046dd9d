import { homedir } from 'node:os'
import { join } from 'node:path'
import { usageError } from '../io/errors.js'
import type { LockHolder } from '../io/lock.js'
import { readThere } from '../io/there.js'

/** What the Hub's own tools take from the environment, and so do we. */
export interface HubSettings {
  /** Without a slash at the end. */
  endpoint: string
  /** Never to be shown: it goes into one header, of requests to `endpoint`. */
  token: string | undefined
  /** HF_HUB_OFFLINE: nothing is asked, what is in the cache must do. */
  offline: boolean
  /** The folder of the cache that huggingface_hub keeps. */
  cache: string
  /** Milliseconds without a byte after which a connection is given up. */
  patience: number
  /** Milliseconds before a second try; before each further one it is twice as long. */
  firstWait: number
  /** Told, once for each file, of another run that is fetching it and is waited for. */
  onWait?(holder: LockHolder): void
}

type Environment = Readonly<Record<string, string | undefined>>

export async function readHubSettings(env: Environment = process.env): Promise<HubSettings> {
  const home = env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface')
  return {
    endpoint: endpointOf(env),
    token: await tokenOf(env, expand(home)),
    offline: isTrue(env.HF_HUB_OFFLINE) || isTrue(env.TRANSFORMERS_OFFLINE),
    cache: expand(env.HF_HUB_CACHE ?? env.HUGGINGFACE_HUB_CACHE ?? join(home, 'hub')),
    patience: 1000 * seconds(env.HF_HUB_DOWNLOAD_TIMEOUT, 20),
    firstWait: 250,
  }
}

function endpointOf({ HF_ENDPOINT: given = '' }: Environment): string {
  const endpoint = (given === '' ? 'https://huggingface.co' : given).replace(/\/+$/, '')
  if (!/^https?:$/.test(URL.canParse(endpoint) ? new URL(endpoint).protocol : '')) {
    throw usageError(
      `HF_ENDPOINT is "${given.replace(/[^/]*@/, '…@')}", an address such as https://huggingface.co is expected`,
    )
  }
  const { username, password } = new URL(endpoint)
  if (username === '' && password === '') return endpoint
  throw usageError('HF_ENDPOINT has a name or a password in it, which would be shown', {
    suggestions: ['Take what is before the @ away; a token goes into HF_TOKEN.'],
  })
}

/** HF_TOKEN, or what the client's login has left. */
async function tokenOf(env: Environment, home: string): Promise<string | undefined> {
  const given = [env.HF_TOKEN, env.HUGGING_FACE_HUB_TOKEN].find((token) => token?.trim())
  const path = expand(env.HF_TOKEN_PATH ?? join(home, 'token'))
  const implicit = !isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)
  const text = given ?? (implicit ? await readThere(path) : '')
  const token = text.trim()
  if (token === '') return undefined
  // What a header cannot carry would be quoted in the error that fetch makes of it.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw usageError('the token of the Hub has characters that no token has', {
      suggestions: [given === undefined ? `Look at ${path}.` : 'Look at HF_TOKEN.'],
    })
  }
  return token
}

function isTrue(value: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(value ?? '')
}

function seconds(value: string | undefined, otherwise: number): number {
  const number = Number(value ?? '')
  return value !== undefined && number > 0 ? number : otherwise
}

function expand(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path
}
