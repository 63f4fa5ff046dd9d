import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { canDraw } from '../../src/cli/progress.js'
import { configJson } from '../support/listing.js'
import { makeSparse } from '../support/sparse.js'
import { tempDirOnDisk } from '../support/temp.js'
import { hasPython, inTerminal, keys, type Step, signals } from './pty.js'

if (!hasPython()) {
  console.log('skipped: there is no python3 to open a pseudo-terminal with')
  process.exit()
}

const test = suite('terminal')

const folder = tempDirOnDisk()
const source = join(folder, 'weights')

test.before(async () => {
  // 280 MB in f32: more than a key needs to arrive.
  const model = {
    vocab: 12_000,
    hidden: 2048,
    intermediate: 1024,
    layers: 1,
    heads: 16,
    kvHeads: 16,
    headDim: 128,
  }
  await makeSparse(source, model, 'f32')
  writeFileSync(join(folder, 'config.json'), configJson(model))
})

const args = ['convert', 'weights', '--to', 'gguf', '--dtype', 'q4_k_m', '--no-check']

test('Ctrl-Z stops it, fg goes on, Ctrl-C ends it within a second; the terminal is as before', async () => {
  const steps: Step[] = [
    ['until', '[1-9][0-9]* %'],
    ['send', keys.suspend],
    ['stopped'],
    ['continue'],
    ['until', '%'],
    ['send', keys.interrupt],
  ]
  const ended = await inTerminal([...args, '--threads', '1', '--out', 'out'], steps, {
    cwd: folder,
  })
  assert.equal(ended.problems, [], ended.written)
  assert.equal([ended.code, ended.signal], [130, null], ended.written)
  assert.ok(ended.seconds < 1, `${ended.seconds} seconds`)
  assert.ok(ended.same)
  assert.match(ended.written, '--resume')
  assert.not.match(ended.written, '\x1b[?25l')
  assert.equal(readdirSync(folder).sort(), ['config.json', 'out.partial', 'weights'])
})

test('a terminal of no width, from the start or suddenly, gets no line that changes, and Ctrl-C ends it', async () => {
  const never: Step[] = [
    ['wait', 0.3],
    ['send', keys.interrupt],
  ]
  const suddenly: Step[] = [['until', '%'], ['resize', 0], ...never]
  for (const [columns, steps] of [
    [0, [['wait', 0.5], ...never]],
    [100, suddenly],
  ] satisfies [number, Step[]][]) {
    const out = `out-${columns}`
    const ended = await inTerminal([...args, '--threads', '1', '--out', out], steps, {
      cwd: folder,
      columns,
      limit: 20,
    })
    // Before anything listens, the key ends it by itself.
    assert.ok(ended.code === 130 || ended.signal === signals.SIGINT, JSON.stringify(ended))
    assert.ok(ended.seconds < 1, `${ended.seconds} seconds`)
    // Lines without end were megabytes.
    assert.ok(ended.written.length < 20_000, `${ended.written.length} characters`)
    if (columns === 0) assert.not.match(ended.written, '\x1b[')
  }
})

test('a line that changes is drawn on a terminal that can show it, and is no log', () => {
  const terminal = { isTTY: true, columns: 80 }
  assert.ok(canDraw(terminal, { TERM: 'xterm' }))
  assert.ok(canDraw(terminal, { CI: 'false' }))
  for (const env of [{ TERM: 'dumb' }, { CI: 'true' }, { CI: '1' }])
    assert.not(canDraw(terminal, env))
  assert.not(canDraw({ columns: 80 }, { TERM: 'xterm' }))
  assert.not(canDraw({ isTTY: true, columns: 0 }, { TERM: 'xterm' }))
})

test.run()
