import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runConversion } from '../../src/convert/convert.js'
import { callsInOrder, disarm, startCounting } from '../faults/inject.js'
import { makeSource, prepare, runOptions } from '../support/conversion.js'

const test = suite('convert: what is brought to disk')

test('names are on disk before an output is published, and its own name afterwards', async () => {
  const made = makeSource()
  const conversion = await prepare(made, { to: 'onnx', dtype: 'f32' })
  startCounting(dirname(made.out))
  await runConversion(conversion, runOptions)
  const calls = callsInOrder()
  disarm()
  const renamed = calls.findIndex(
    ({ kind, path }) => kind === 'rename' && path.endsWith('.partial'),
  )
  assert.ok(renamed > 0, JSON.stringify(calls.filter(({ kind }) => kind === 'rename')))
  const staging = calls[renamed]?.path ?? ''
  const synced = (path: string, from: number, to: number) =>
    calls.slice(from, to).some((call) => call.kind === 'fsync' && call.path === path)
  assert.ok(synced(staging, 0, renamed), 'the staging folder')
  assert.ok(synced(join(staging, 'onnx'), 0, renamed), 'the folder within it')
  assert.ok(synced(dirname(made.out), renamed, calls.length), 'the folder that the output is in')
})

test.run()
