import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'uvu'
import type { HubSettings } from '../../../src/hub/settings.js'
import { openHubStore } from '../../../src/hub/source/store.js'
import { registerStore } from '../../../src/io/store.js'
import { fixture } from '../paths.js'
import { tempDir } from '../temp.js'
import { type Hub, largeBytes, startHub } from './hub.js'

/** A token that must be nowhere but in requests to the Hub. */
export const token = 'hf_OnlyForTheHubOfTheseTests'

/** A Hub, and what programs find it by. */
export interface Session {
  hub: Hub
  settings: HubSettings
  /** For the program as users run it. */
  env: Record<string, string>
}

export async function startSession(): Promise<Session> {
  const hub = await startHub()
  hub.addToken(token, 'tester', 'write')
  const home = tempDir()
  const settings = {
    endpoint: hub.url,
    token,
    offline: false,
    cache: join(home, 'hub'),
    patience: 500,
    firstWait: 5,
  }
  return {
    hub,
    settings,
    env: {
      HF_ENDPOINT: hub.url,
      HF_TOKEN: token,
      HF_HOME: home,
      HF_HUB_CACHE: settings.cache,
      HF_HUB_OFFLINE: '0',
      HF_HUB_DOWNLOAD_TIMEOUT: '1',
      HTTP_PROXY: '',
      HTTPS_PROXY: '',
      http_proxy: '',
      https_proxy: '',
    },
  }
}

/** Lets hf:// paths of this thread lead to the Hub of a session; each call knows nothing of earlier ones. */
export function useHub({ settings }: Pick<Session, 'settings'>): void {
  registerStore('hf', () => openHubStore(settings))
}

/** The model of the fixtures, as it would be published from EasyLM. */
export async function publishTiny(hub: Hub, name = 'tester/tiny'): Promise<Uint8Array> {
  const weights = readFileSync(fixture('tiny-v1', 'easylm', 'streaming_params_bf16'))
  await hub.commit(name, {
    streaming_params: largeBytes(weights),
    'config.json': readFileSync(fixture('tiny-v1', 'config.json')),
    'tokenizer.model': largeBytes(readFileSync(fixture('tiny-v1', 'easylm', 'tokenizer.model'))),
    'README.md': '---\nlicense: apache-2.0\n---\n# Tiny\n',
  })
  return weights
}

/** A session whose Hub has the tiny model. */
export interface TinySession extends Session {
  /** The repository's streaming_params. */
  readonly weights: Uint8Array
}

/** Such a session for the tests of a suite; each begins with no faults, and with nothing fetched. */
export function tinySession(test: Test): TinySession {
  let started: TinySession | undefined
  const now = (): TinySession => {
    if (started === undefined) throw new Error('the session begins with the tests')
    return started
  }
  test.before(async () => {
    const session = await startSession()
    started = { ...session, weights: await publishTiny(session.hub) }
  })
  test.after(() => now().hub.close())
  test.before.each(() => {
    const session = now()
    session.hub.reset()
    useHub(session)
    rmSync(session.settings.cache, { recursive: true, force: true })
  })
  return {
    get hub() {
      return now().hub
    },
    get settings() {
      return now().settings
    },
    get env() {
      return now().env
    },
    get weights() {
      return now().weights
    },
  }
}
