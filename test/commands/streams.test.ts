import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fixture, root } from '../support/paths.js'

const test = suite('commands: what is written where')

if (process.platform === 'win32') {
  console.log('skipped: there is no sh here')
  process.exit()
}

const program = `"${process.execPath}" "${join(root, 'bin', 'run.js')}"`
const tiny = `"${fixture('tiny-v2', 'easylm', 'streaming_params_bf16')}" --config "${fixture('tiny-v2', 'config.json')}"`

/** Runs a line of a shell. */
function shell(line: string) {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', line], { encoding: 'utf8' })
  return { status, stdout, stderr }
}

test('wrong usage with --json: one JSON document, and 2', () => {
  for (const args of ['nothing --json', `inspect ${tiny} --nope --json`, 'convert --json']) {
    const { status, stdout, stderr } = shell(`${program} ${args}`)
    const { error } = JSON.parse(stdout)
    assert.equal([status, error.code, error.exit, stderr], [2, 'usage', 2, ''], args)
    assert.ok(error.message.length > 0)
    assert.ok(Array.isArray(error.suggestions))
  }
})

test('a result that cannot be written: 6 and a sentence', () => {
  if (!existsSync('/dev/full')) return
  const { status, stderr } = shell(`${program} inspect ${tiny} >/dev/full`)
  assert.is(status, 6)
  assert.match(stderr, 'the standard output: cannot write the result: the disk is full')
  assert.not.match(stderr, /\n\s+at /)
})

test('a reader that has read enough: no word of it, and the usual code', () => {
  // The inner shell's code comes on a line of its own, past the pipe that head has closed.
  const line = `{ ${program} inspect ${tiny} --tensors; echo "code $?" >&2; } | head -c 1`
  const { stdout, stderr } = shell(line)
  assert.is(stdout.length, 1)
  assert.is(stderr.replace(/^warning: .*\n/gm, ''), 'code 0\n')
})

test.run()
