// The tests' own Hub, in a process of its own: the checks here wait for their programs.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/**
 * Starts the Hub.
 * @param home folder for everything that programs keep of it
 * @param pageSize files in a page of a listing
 * @returns the environment that programs find it by, and how to end it
 */
export async function startHub(home, pageSize = 4) {
  const server = spawn(
    process.execPath,
    ['--import', 'tsx', 'test/interop/hub-server.ts', String(pageSize)],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  )
  const [line] = await once(createInterface({ input: server.stdout }), 'line')
  const { url, token, reader } = JSON.parse(line)
  return {
    env: {
      HF_ENDPOINT: url,
      HF_TOKEN: token,
      HF_READER: reader,
      HF_HOME: home,
      HF_HUB_CACHE: join(home, 'hub'),
      HF_HUB_OFFLINE: '0',
      // What goes through Xet does not go over HTTP as the Hub here speaks it.
      HF_HUB_DISABLE_XET: '1',
      HF_HUB_DISABLE_TELEMETRY: '1',
    },
    stop: () => server.stdin.end(),
  }
}
