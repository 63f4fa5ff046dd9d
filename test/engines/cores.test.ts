import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { physicalCores } from '../../src/engines/cores.js'
import { tempDir } from '../support/temp.js'

const test = suite('engines: cores')

/** Processors as Linux describes them: each with the threads of its core. */
function processors(siblings: Record<string, string>): string {
  const folder = tempDir()
  for (const [name, list] of Object.entries(siblings)) {
    const topology = join(folder, name, 'topology')
    mkdirSync(topology, { recursive: true })
    if (list !== '') writeFileSync(join(topology, 'thread_siblings_list'), `${list}\n`)
  }
  return folder
}

test('two threads of a core are one; a processor that is off is none', () => {
  const one = processors({ cpu0: '0,1', cpu1: '0,1', cpu2: '', cpufreq: '7' })
  assert.is(physicalCores(one), 1)
})

test('no more than the process may use', () => {
  const names = Array.from({ length: 4096 }, (_, i) => [`cpu${i}`, `${i}`])
  assert.is(physicalCores(processors(Object.fromEntries(names))), availableParallelism())
})

test('a system that does not say: engines count for themselves', () => {
  assert.is(physicalCores(join(tempDir(), 'none')), undefined)
  assert.is(physicalCores(processors({})), undefined)
})

test.run()
