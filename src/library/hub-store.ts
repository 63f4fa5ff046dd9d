import type { LockHolder } from '../io/lock.js'
import { registerStore } from '../io/store.js'

/**
 * Lets `hf://owner/repo` be named wherever a source is. What talks to the Hub is loaded with the
 * first such path: most calls need none of it.
 */
export function registerHub(onWait?: (holder: LockHolder) => void): void {
  registerStore('hf', async () => {
    const { openHubStore } = await import('../hub/source/store.js')
    return openHubStore(undefined, onWait)
  })
}
