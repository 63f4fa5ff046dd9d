import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ConvertOptions, type RunOptions, runConversion } from '../../src/convert/convert.js'
import type { CheckRecord } from '../../src/record/check.js'
import { makeSource, prepare, runOptions } from '../support/conversion.js'
import { fails, failure } from '../support/errors.js'
import { tempDir } from '../support/temp.js'
import { contentOf } from '../support/tree.js'

const test = suite('convert: publishing')

const made = makeSource()
const convert = async (
  out: string,
  run: Partial<RunOptions> = {},
  options: Partial<ConvertOptions> = {},
) => runConversion(await prepare({ ...made, out }, options), { ...runOptions, ...run })

/** Outputs of both kinds, and what is in a folder that has one. */
const kinds = [
  { name: 'out', options: { to: 'safetensors' }, all: ['out'] },
  { name: 'm.gguf', options: { to: 'gguf' }, all: ['m.gguf', 'm.gguf.openllama.json'] },
] as const

const passed: CheckRecord = {
  verdict: 'passed',
  engine: 'onnxruntime',
  device: 'cpu',
  smoke: { prompt: '', continuation: '', tokens: 0, faults: [] },
  notes: [],
}

const whole = new Map<string, string[]>()
for (const { name, options } of kinds) {
  const out = join(tempDir(), name)
  await convert(out, {}, options)
  whole.set(name, hashesIn(out))
}

/** Names and hashes of all that is beside an output and in it. */
function hashesIn(out: string): string[] {
  return contentOf(dirname(out)).map((line) => line.replace(/ \d+ [\d.]+ /, ' '))
}

/** The calls that end the process, or fail, at the n-th rename; what is known of each is its path. */
class Killed extends Error {}

/** Runs with the n-th rename failing, or with all file operations from there on: as a kill leaves it. */
async function withRenameFailing<T>(
  n: number,
  kill: boolean,
  work: () => Promise<T>,
  code = 'EBUSY',
): Promise<T> {
  const { rename, rm, rmdir, open } = fs
  let count = 0
  let dead = false
  const fail = () => Object.assign(kill ? new Killed('killed') : new Error(code), { code })
  const guarded =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (dead) throw fail()
      return call(...args)
    }
  fs.rename = async (from, to) => {
    if (dead || (!String(from).includes('.lock') && ++count === n)) {
      dead = kill
      throw fail()
    }
    return rename(from, to)
  }
  fs.rm = guarded(rm)
  fs.rmdir = guarded(rmdir)
  fs.open = guarded(open)
  syncBuiltinESMExports()
  try {
    return await work()
  } finally {
    Object.assign(fs, { rename, rm, rmdir, open })
    syncBuiltinESMExports()
  }
}

for (const { name, options, all } of kinds) {
  for (const over of [false, true]) {
    const what = `${name}${over ? ' over another' : ''}`
    const steps = (name === 'out' ? 1 : 2) * (over ? 2 : 1)

    /** An output that is there already, of another type. */
    const before = async (out: string) => {
      if (over) await convert(out, {}, { ...options, dtype: 'f16' })
      return hashesIn(out)
    }

    test(`${what}: a rename that fails leaves what was there, and --resume goes on`, async () => {
      for (let n = 1; n <= steps; n++) {
        const out = join(tempDir(), name)
        const there = await before(out)
        const error = await failure(() =>
          withRenameFailing(n, false, () => convert(out, { force: over }, options)),
        )
        assert.is(error.exit, 6, error.message)
        const partial = `${name}.partial`
        assert.equal(
          hashesIn(out).filter((line) => !line.startsWith(partial)),
          there,
        )
        await convert(out, { resume: true }, options)
        assert.equal(hashesIn(out), whole.get(name))
      }
    })

    test(`${what}: killed at any step, no output has another’s record, and --resume ends it`, async () => {
      for (let n = 1; n <= steps; n++) {
        const out = join(tempDir(), name)
        const there = await before(out)
        try {
          await withRenameFailing(n, true, () => convert(out, { force: over }, options))
          assert.unreachable()
        } catch (error) {
          assert.ok(error instanceof Error && !(error instanceof assert.Assertion))
        }
        const names = readdirSync(dirname(out))
        if (names.includes(name)) {
          assert.equal(
            hashesIn(out).filter((line) =>
              all.some((each) => new RegExp(`^${each}(/| )`).test(line)),
            ),
            there,
          )
        }
        endLock(out)
        await convert(out, { resume: true }, options)
        assert.equal(hashesIn(out), whole.get(name))
      }
    })
  }
}

/** Makes the lock that a killed run has left one of a process that has ended. */
function endLock(out: string): void {
  const path = `${out}.openllama.lock`
  if (!existsSync(path)) return
  const lock = JSON.parse(readFileSync(path, 'utf8'))
  writeFileSync(path, JSON.stringify({ ...lock, pid: 2 ** 22 + 1 }))
}

test('where nothing can be moved back either, no file has another’s record, and the next run mends it', async () => {
  const { name, options } = kinds[1]
  // The rename that fails, and which of those that move things back.
  for (const [n, stuck] of [
    [3, 1],
    [4, 1],
    [4, 2],
    [4, 3],
  ] as const) {
    const out = join(tempDir(), name)
    await convert(out, {}, { ...options, dtype: 'f16' })
    const [file, record] = [readFileSync(out), readFileSync(`${out}.openllama.json`)]
    const { rename } = fs
    let count = 0
    fs.rename = async (from, to) => {
      count++
      if (count === n || (count > n && count - n === stuck)) {
        throw Object.assign(new Error('EIO'), { code: 'EIO' })
      }
      return rename(from, to)
    }
    syncBuiltinESMExports()
    await failure(() => convert(out, { force: true }, options))
    fs.rename = rename
    syncBuiltinESMExports()
    if (existsSync(out)) {
      assert.is(readFileSync(out).compare(file), 0)
      assert.is(readFileSync(`${out}.openllama.json`).compare(record), 0)
    }
    await convert(out, { resume: true }, options)
    assert.equal(hashesIn(out), whole.get(name))
  }
})

test('what fails after the output is whole is a warning that says so', async () => {
  for (const { name, options } of kinds) {
    const out = join(tempDir(), name)
    await convert(out, {}, { ...options, dtype: 'f16' })
    const { rm } = fs
    fs.rm = async (path, given) => {
      if (String(path).includes('.replaced')) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      return rm(path, given)
    }
    syncBuiltinESMExports()
    try {
      const { warnings } = await convert(out, { force: true }, options)
      const told = warnings.filter((each) => each.includes('the output is whole'))
      assert.is(told.length, 1, warnings.join('\n'))
      assert.match(told[0] ?? '', /\.replaced.*(input\/output|EIO)/s)
    } finally {
      fs.rm = rm
      syncBuiltinESMExports()
    }
    // The next run removes what was left.
    await convert(out, { force: true }, options)
    assert.equal(hashesIn(out), whole.get(name))
  }
})

test('where the new one’s name may not have come to disk, the old one is kept', async () => {
  for (const { name, options } of kinds) {
    const out = join(tempDir(), name)
    await convert(out, {}, { ...options, dtype: 'f16' })
    const { open } = fs
    fs.open = async (path, ...rest) => {
      if (path === dirname(out)) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      return open(path, ...rest)
    }
    syncBuiltinESMExports()
    try {
      const { warnings } = await convert(out, { force: true }, options)
      assert.match(warnings.at(-2) ?? '', 'the output is whole')
      assert.match(warnings.at(-1) ?? '', `kept, as ${out}.openllama.replaced`)
    } finally {
      fs.open = open
      syncBuiltinESMExports()
    }
    assert.ok(existsSync(`${out}.openllama.replaced`))
    await convert(out, { force: true }, options)
    assert.equal(hashesIn(out), whole.get(name))
  }
})

test('a folder that is called as ours are, and is somebody’s, stays where it is', async () => {
  const out = join(tempDir(), 'out')
  const replaced = `${out}.openllama.replaced`
  mkdirSync(replaced)
  writeFileSync(join(replaced, 'mine'), 'mine')
  await convert(out)
  assert.is(readFileSync(join(replaced, 'mine'), 'utf8'), 'mine')
  await fails(() => convert(out, { force: true }), 'usage', replaced, '`resume`')
  assert.is(readFileSync(join(replaced, 'mine'), 'utf8'), 'mine')
})

test('a run beside a living one is told whose the output is, and touches nothing', async () => {
  const out = join(tempDir(), 'out')
  const check = async (): Promise<CheckRecord> => {
    for (const run of [{}, { force: true }, { resume: true }]) {
      const parts = [`process ${process.pid} on ${hostname()}`, 'Wait']
      await fails(() => convert(out, run, { dtype: 'f16' }), 'usage', out, ...parts)
    }
    return { ...passed, notes: ['the others were told'] }
  }
  const { check: record } = await convert(out, { check })
  assert.equal(record?.notes, ['the others were told'])
  const lines = hashesIn(out).filter((line) => !line.includes('openllama.json'))
  assert.equal(
    lines,
    whole.get('out')?.filter((line) => !line.includes('openllama.json')),
  )
})

test('of many that start at once one wins, and the output is its own', async () => {
  const out = join(tempDir(), 'out')
  const dtypes = ['f32', 'f16', 'bf16', 'f32', 'f16'] as const
  const runs = await Promise.allSettled(dtypes.map((dtype) => convert(out, {}, { dtype })))
  const won = runs.flatMap((run) => (run.status === 'fulfilled' ? [run.value] : []))
  assert.is(won.length, 1)
  const alone = join(tempDir(), 'out')
  const dtype = dtypes.find((each) => each === won[0]?.options.dtype) ?? 'f32'
  await convert(alone, {}, { dtype })
  assert.equal(hashesIn(out), hashesIn(alone))
})

test('a run whose lock was taken over publishes nothing, and removes nothing', async () => {
  const out = join(tempDir(), 'out')
  const lock = `${out}.openllama.lock`
  const onProgress = () => writeFileSync(lock, '{"host":"another","pid":1}')
  await fails(() => convert(out, { onProgress }), 'usage', 'taken the output over')
  assert.not(existsSync(out))
  assert.ok(existsSync(`${out}.partial`))
  assert.is(readFileSync(lock, 'utf8'), '{"host":"another","pid":1}')
})

test('the lock of a process that was killed is nobody’s', async () => {
  const out = join(tempDir(), 'out')
  const child = spawn('sleep', ['100'])
  const lock = { host: hostname(), pid: child.pid, machine: null, started: null }
  child.kill('SIGKILL')
  await new Promise((resolve) => child.on('close', resolve))
  // Of another container nothing is known: its last sign of life counts.
  writeFileSync(`${out}.openllama.lock`, JSON.stringify(lock))
  await fails(() => convert(out), 'usage', out)
  const old = new Date(Date.now() - 60_000)
  await fs.utimes(`${out}.openllama.lock`, old, old)
  await convert(out)
  assert.equal(hashesIn(out), whole.get('out'))
})

test.run()
