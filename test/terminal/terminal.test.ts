import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { canDraw } from '../../src/cli/progress.js'
import { configJson } from '../support/listing.js'
import { makeSparse } from '../support/sparse.js'
import { tempDirOnDisk } from '../support/temp.js'
import { hasPython, inTerminal, keys, type Step } from './pty.js'

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

test('Ctrl-Z stops it, fg goes on, Ctrl-C ends it within a second; the terminal is as before', async () => {
  const args = [
    'convert',
    'weights',
    '--to',
    'gguf',
    '--dtype',
    'q4_k_m',
    '--no-check',
    '--threads',
  ]
  const steps: Step[] = [
    ['until', '[1-9][0-9]* %'],
    ['send', keys.suspend],
    ['stopped'],
    ['continue'],
    ['until', '%'],
    ['send', keys.interrupt],
  ]
  const ended = await inTerminal([...args, '1', '--out', 'out'], steps, {
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

test('a line that changes is drawn on a terminal that can show it, and is no log', () => {
  assert.ok(canDraw(true, { TERM: 'xterm' }))
  assert.ok(canDraw(true, { CI: 'false' }))
  for (const env of [{ TERM: 'dumb' }, { CI: 'true' }, { CI: '1' }]) assert.not(canDraw(true, env))
  assert.not(canDraw(false, { TERM: 'xterm' }))
})

test.run()
