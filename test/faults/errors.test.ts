import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'
import { openllama } from './in-process.js'
import type { Injection, Kind } from './inject.js'

// What `npm run test:errors` found, each by itself.

const test = suite('faults: errors of the file system')

const folder = join(tempDir(), 'work')
const at = (...names: string[]) => join(folder, ...names)
const convert = ['convert', at('src', 'params'), '--no-check', '--sha256', '--to']

test.before(async () => {
  mkdirSync(at('src'), { recursive: true })
  copyFileSync(fixture('tiny-v2', 'easylm', 'streaming_params_bf16'), at('src', 'params'))
  copyFileSync(fixture('tiny-v2', 'easylm', 'tokenizer.model'), at('src', 'tokenizer.model'))
  copyFileSync(fixture('tiny-v2', 'config.json'), at('src', 'config.json'))
  const { code, stderr } = await openllama([...convert, 'gguf', '--out', at('clean.gguf')])
  assert.is(code, 0, stderr)
})

/** Only paths that are or lie below `root` count. */
function fault(root: string, kind: Kind, error: string, nth = 1, lasting = false): Injection {
  return { root, kind, nth, error, lasting, log: join(tempDir(), 'log') }
}

test('a write that takes fewer bytes than it is given: all of them are written', async () => {
  // The first writes are of headers and tokenizers, which are known beforehand.
  for (const nth of [1, 2, 3]) {
    const out = at(`short-${nth}.gguf`)
    const injection = fault(`${out}.partial`, 'write', 'short', nth)
    const { code, stderr } = await openllama([...convert, 'gguf', '--out', out], { injection })
    assert.is(code, 0, stderr)
    assert.ok(existsSync(injection.log))
    assert.ok(readFileSync(out).equals(readFileSync(at('clean.gguf'))), `write ${nth}`)
  }
})

test('a configuration that the disk does not give is no missing one', async () => {
  for (const kind of ['stat', 'open', 'read'] as const) {
    const injection = fault(at('src', 'config.json'), kind, 'EIO')
    const { code, stderr } = await openllama(['inspect', at('src', 'params')], { injection })
    assert.is(code, 6, `${kind}: ${stderr}`)
    assert.match(stderr, /config\.json: cannot .*input\/output error/)
  }
})

test('each error of the output’s disk: 6, and nothing at the path', async () => {
  for (const [kind, error, nth] of [
    ['write', 'EDQUOT', 2],
    ['fsync', 'EIO', 1],
    ['truncate', 'ENOSPC', 1],
    ['rename', 'EBUSY', 1],
  ] as const) {
    const out = at(`failed-${kind}`)
    // The name itself too: it is what is renamed.
    const injection = fault(kind === 'rename' ? folder : `${out}.partial`, kind, error, nth, true)
    const { code, stderr } = await openllama([...convert, 'safetensors', '--out', out], {
      injection,
    })
    assert.is(code, 6, `${kind}: ${stderr}`)
    assert.match(stderr, /^error: .*cannot write it: ./m)
    assert.not(existsSync(out))
  }
})

test('a change of metadata that fails is undone at once, or said to be whole', async () => {
  const file = at('set.gguf')
  let hits = 0
  for (let nth = 1; nth < 10; nth++) {
    copyFileSync(at('clean.gguf'), file)
    const injection = fault(folder, 'fsync', 'EIO', nth)
    const { code, stderr } = await openllama(['gguf', 'set', file, 'general.name=other'], {
      injection,
    })
    // There are no more such calls.
    if (!existsSync(injection.log)) break
    hits++
    // That the undo record is gone need not be on disk: what it undoes would be done again.
    assert.ok(code === 6 || code === 0, stderr)
    const isOld = readFileSync(file).equals(readFileSync(at('clean.gguf')))
    assert.is(isOld, code === 6 && !/whole/.test(stderr), `fsync ${nth}: ${stderr}`)
    assert.not(readdirSync(folder).some((name) => name.endsWith('.undo')))
  }
  assert.ok(hits >= 3)
})

test.run()
