import { setTimeout as sleep } from 'node:timers/promises'
import type { OpenLlamaError } from '../io/errors.js'
import { parseJsonIfAny, property } from '../io/json.js'
import { hubError } from './errors.js'
import { readBodyStart } from './http.js'
import { heedProxies } from './proxy.js'
import { type HubSettings, readHubSettings } from './settings.js'

// Keyless: a CI job shows what its provider says of it, and gets a token for one hour and
// one repository. The Hub's documentation: docs/hub/trusted-publishers; the variables are
// those of huggingface_hub 1.19.

type Environment = Readonly<Record<string, string | undefined>>

/** Whom the provider's word is for; the Hub takes no other, whatever its address. */
const audience = 'https://huggingface.co'

const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange'
const idTokenType = 'urn:ietf:params:oauth:token-type:id_token'

const documentation = 'https://huggingface.co/docs/hub/trusted-publishers'

/** Milliseconds before its end at which a token is exchanged for a new one. */
const margin = 5 * 60 * 1000

const maxTries = 4

/** A token that does not last. */
export interface Keyless {
  /** Puts a valid token into the settings. */
  renew(): Promise<void>
}

/**
 * Gets a token where the environment is a CI job that the Hub may trust: where
 * HF_OIDC_RESOURCE asks for one, in the place of any other as huggingface_hub has it;
 * otherwise where the settings have none.
 * @param resource the repository that it is for
 * @throws hub error where one is asked for, and there is no identity or no trust
 */
export async function signInKeyless(
  settings: HubSettings,
  resource: string,
  env: Environment = process.env,
): Promise<Keyless | undefined> {
  if (settings.offline) return undefined
  const asked = env.HF_OIDC_RESOURCE || undefined
  if (asked === undefined && (settings.token !== undefined || !canBeKeyless(env))) return undefined
  if (!canBeKeyless(env)) {
    throw refused('HF_OIDC_RESOURCE is set, and this job has no id token to show', [
      'On GitHub the job needs `permissions: id-token: write`; elsewhere put the id token into HF_OIDC_ID_TOKEN.',
    ])
  }
  const scope = asked ?? resource
  // What the job was given cannot be had anew, and ends before the Hub's token does.
  const early = env.HF_OIDC_ID_TOKEN ? 0 : margin
  let until = 0
  let renewal: Promise<void> | undefined
  const renew = async () => {
    if (Date.now() < until - early) return
    // Several requests notice at the same time.
    renewal ??= exchange(settings, scope, env)
      .then(({ token, seconds }) => {
        settings.token = token
        until = Date.now() + seconds * 1000
      })
      .finally(() => {
        renewal = undefined
      })
    await renewal
  }
  await renew()
  return { renew }
}

/** The settings for reading: keyless only where HF_OIDC_RESOURCE asks for it. */
export async function readSignedIn(env: Environment = process.env): Promise<HubSettings> {
  const settings = await readHubSettings(env)
  const resource = env.HF_OIDC_RESOURCE
  if (resource) await signInKeyless(settings, resource, env)
  return settings
}

function canBeKeyless(env: Environment): boolean {
  return Boolean(
    env.HF_OIDC_ID_TOKEN ||
      (env.ACTIONS_ID_TOKEN_REQUEST_URL && env.ACTIONS_ID_TOKEN_REQUEST_TOKEN),
  )
}

/** The word of the CI's provider about this job: given by the job, or asked of GitHub. */
async function idTokenOf(settings: HubSettings, env: Environment): Promise<string> {
  if (env.HF_OIDC_ID_TOKEN) return env.HF_OIDC_ID_TOKEN
  const given = env.ACTIONS_ID_TOKEN_REQUEST_URL ?? ''
  if (!URL.canParse(given)) throw refused('ACTIONS_ID_TOKEN_REQUEST_URL is no address', [])
  const url = new URL(given)
  url.searchParams.set('audience', audience)
  const answer = await ask(settings, 'GitHub, for an id token', url.href, {
    headers: { authorization: `Bearer ${env.ACTIONS_ID_TOKEN_REQUEST_TOKEN}` },
  })
  const token = answer.status === 200 ? property(answer.body, 'value') : undefined
  if (typeof token === 'string' && isToken(token)) return token
  throw refused(`GitHub gives this job no id token (it answers ${answer.status})`, [
    'The job needs `permissions: id-token: write`.',
  ])
}

async function exchange(
  settings: HubSettings,
  resource: string,
  env: Environment,
): Promise<{ token: string; seconds: number }> {
  const { status, body } = await ask(
    settings,
    'the Hub, for a token',
    `${settings.endpoint}/oauth/token`,
    {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        grant_type: grantType,
        subject_token_type: idTokenType,
        subject_token: await idTokenOf(settings, env),
        resource,
      }),
    },
  )
  const token = property(body, 'access_token')
  const seconds = property(body, 'expires_in')
  if (status === 200 && typeof token === 'string' && isToken(token)) {
    return { token, seconds: typeof seconds === 'number' && seconds > 0 ? seconds : 3600 }
  }
  // Of what the Hub says only the code: a description could quote what was sent.
  const code = property(body, 'error')
  const known = typeof code === 'string' && /^[a-z_]{1,40}$/.test(code) ? `, ${code}` : ''
  throw refused(`the Hub gives this CI job no token for ${resource} (${status}${known})`, [
    `Add it to the trusted publishers in the repository’s settings, with the claims of this job: ${documentation}`,
    'A repository must be there before it can have trusted publishers: create it once by hand.',
  ])
}

/** One question, asked again where the connection fails or the other side is busy. */
async function ask(
  { patience, firstWait }: HubSettings,
  whom: string,
  url: string,
  init: RequestInit,
): Promise<{ status: number; body: unknown }> {
  await heedProxies(process.env)
  for (let tries = 1; ; tries++) {
    try {
      const signal = AbortSignal.timeout(patience)
      const response = await fetch(url, { ...init, redirect: 'error', signal })
      const { status } = response
      if (tries === maxTries || (status !== 429 && status < 500)) {
        const text = await readBodyStart(response, largestAnswer, patience)
        return { status, body: parseJsonIfAny(text) }
      }
      await response.body?.cancel()
    } catch {
      // The error of fetch could quote headers.
      if (tries === maxTries) {
        throw refused(`the connection to ${whom} failed`, ['Run the job again.'])
      }
    }
    await sleep(firstWait * 2 ** (tries - 1))
  }
}

/** An answer with a token in it has some kilobytes. */
const largestAnswer = 1024 * 1024

/** What a header can carry. */
function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text)
}

function refused(what: string, suggestions: string[]): OpenLlamaError {
  return hubError(what, {
    suggestions: [...suggestions, 'Or set HF_TOKEN to a token that may write.'],
  })
}
