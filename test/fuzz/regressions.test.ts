import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from '../support/paths.js'
import { faultOf } from './finding.js'
import { targets } from './targets.js'

// What the fuzzer starts with, and what it has found.

const test = suite('fuzz: what was found')

for (const target of targets) {
  test(target.name, async () => {
    for (const seed of await target.seeds()) {
      const bytes = typeof seed === 'string' ? Buffer.from(seed) : seed
      assert.is(await faultIn(target.run, bytes), undefined, 'a seed')
    }
    const folder = join(root, 'test', 'fuzz', 'regressions', target.name)
    for (const name of existsSync(folder) ? readdirSync(folder) : []) {
      const fault = await faultIn(target.run, readFileSync(join(folder, name)))
      assert.is(fault, undefined, `${name}: ${fault}`)
    }
  })
}

test.run()

async function faultIn(
  run: (bytes: Uint8Array) => unknown,
  bytes: Uint8Array,
): Promise<string | undefined> {
  try {
    await run(bytes)
    return undefined
  } catch (error) {
    const fault = faultOf(error)
    return fault && `${fault.key}\n${fault.detail}`
  }
}
