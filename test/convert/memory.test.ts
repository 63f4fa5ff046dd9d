import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { allotMemory } from '../../src/convert/memory.js'
import { registerStore } from '../../src/io/store.js'
import { makeSource, prepare } from '../support/conversion.js'

const test = suite('convert: memory')

registerStore('far', () => Promise.reject(new Error('nothing is read')))

/** A plan of some bytes whose source is on the Hub, or here. */
async function planFrom(remote: boolean) {
  const { plan } = await prepare(makeSource(), { to: 'safetensors' })
  const files = plan.source.files.map((file) =>
    remote ? { ...file, path: `far://owner/model/${file.path}` } : file,
  )
  return { ...plan, source: { ...plan.source, files }, bytes: 1e9 }
}

test('what is allowed is not gone beyond, and what passes through is counted', async () => {
  const mega = 1024 * 1024
  for (const remote of [false, true]) {
    const plan = await planFrom(remote)
    for (const maxMemory of [64 * mega, 256 * mega, 1024 * mega]) {
      const allotted = allotMemory(plan, { threads: 4, maxMemory })
      assert.ok(allotted.memory <= maxMemory, `${allotted.memory} of ${maxMemory}`)
      const { workers, budget, prefetch = 0, memory } = allotted
      // Two prefetches, each worker's tile, and of a connection's buffers 32 MiB, or half where
      // less than twice as much is allowed.
      const passing = remote ? Math.min(32 * mega, maxMemory / 2) : 0
      const buffers = memory - passing - workers * budget
      assert.is(remote, prefetch > 0)
      assert.ok(buffers > 0 && buffers <= 2 * prefetch + workers * mega, String(buffers))
    }
  }
})

test.run()
