import { linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConvertOptions } from '../../src/convert/convert.js'
import { type ExecuteOptions, execute } from '../../src/convert/execute.js'
import { journalName } from '../../src/convert/journal.js'
import { type Plan, tilesOf } from '../../src/convert/plan.js'
import { equalBytes, sha256 } from '../support/bytes.js'
import {
  executeOptions,
  hashBuffer,
  holdsModel,
  type Made,
  makeLargeSource,
  makeSource,
  prepare,
  withValues,
} from '../support/conversion.js'
import { fails } from '../support/errors.js'
import { bf16Bits, f16Bits, f16Value, f32Value } from '../support/floats.js'
import { type Model, small } from '../support/llama.js'
import { tempDir } from '../support/temp.js'
import { contentOf } from '../support/tree.js'

const test = suite('convert: execute')

const output = 'model.safetensors'
const asF16 = (value: number) => f16Value(f16Bits(value))
const asBf16 = (value: number) => f32Value(bf16Bits(value) * 65536)

async function planOf(made: Made, options: Partial<ConvertOptions> = {}): Promise<Plan> {
  return (await prepare(made, options)).plan
}

/** Executes into a new directory, or the given one. */
async function run(plan: Plan, options: Partial<ExecuteOptions> = {}, staging = tempDir()) {
  const executed = await execute(plan, staging, { ...executeOptions, ...options })
  return { executed, staging, bytes: readFileSync(join(staging, output)) }
}

/** A budget of this many bytes for a tile. */
const tiny = (budget: number) => ({ maxMemory: hashBuffer + budget })

test('every cast, transposed and permuted, is what plain loops give', async () => {
  const made = makeSource()
  for (const [dtype, stored] of [
    ['f32', (value: number) => value],
    ['f16', asF16],
    ['bf16', asBf16],
  ] as const) {
    const { staging } = await run(await planOf(made, { dtype }))
    await holdsModel(join(staging, output), small, stored)
  }
})

test('many tiles give the bytes of one', async () => {
  const made = makeSource()
  for (const dtype of ['f32', 'f16'] as const) {
    const plan = await planOf(made, { dtype })
    for (const budget of [256, 700, 4096, 10_000]) {
      const tiles = plan.moves.reduce((sum, move) => sum + tilesOf(move, budget).length, 0)
      assert.ok(tiles > plan.moves.length, `${tiles} tiles of ${plan.moves.length} tensors`)
      const { staging } = await run(plan, tiny(budget))
      await holdsModel(join(staging, output), small, dtype === 'f16' ? asF16 : (value) => value)
    }
  }
})

test('shards: each tensor is in the file that its header says', async () => {
  const plan = await planOf(makeSource(), { maxShardSize: 20_000 })
  const { staging, executed } = await execution(plan)
  assert.ok(plan.target.files.length > 5)
  for (const { name, size } of plan.target.files) {
    const bytes = readFileSync(join(staging, name))
    assert.is(bytes.length, size, name)
    assert.is(executed.hashes.get(name), sha256(bytes), name)
  }

  async function execution(of: Plan) {
    const folder = tempDir()
    return {
      staging: folder,
      executed: await execute(of, folder, { ...executeOptions, ...tiny(3000) }),
    }
  }
})

const larger: Model = {
  vocab: 4096,
  hidden: 1024,
  intermediate: 512,
  layers: 1,
  heads: 8,
  kvHeads: 2,
  headDim: 64,
}

test('several workers in threads of their own give the bytes of one', async () => {
  const plan = await planOf(makeLargeSource(larger), { dtype: 'f32' })
  assert.ok(plan.bytes > 32 * 1024 * 1024, 'large enough for threads')
  const one = await run(plan)
  const three = await run(plan, { threads: 3, maxMemory: 51e6 })
  equalBytes(three.bytes, one.bytes, 'three workers')
  assert.equal(Object.fromEntries(three.executed.hashes), Object.fromEntries(one.executed.hashes))
  assert.is(three.executed.hashes.get(output), sha256(three.bytes))
})

test('an error in a thread is told as one in this', async () => {
  const made = makeLargeSource(larger)
  const plan = await planOf(made, { dtype: 'f32' })
  const before = readFileSync(made.source)
  const fingerprinted = { threads: 2, maxMemory: 64e6 }
  writeFileSync(made.source, before.subarray(0, before.length / 2))
  await fails(() => run(plan, fingerprinted), 'input', made.source, 'shorter', 'expected at byte')
})

/** Runs until `after` tiles are done, as Ctrl-C would end it. */
async function interrupt(
  plan: Plan,
  after: number,
  options: Partial<ExecuteOptions> = {},
): Promise<string> {
  const staging = tempDir()
  const aborter = new AbortController()
  let tiles = 0
  const onProgress = () => {
    if (++tiles === after) aborter.abort()
  }
  const stopped = () => run(plan, { ...options, signal: aborter.signal, onProgress }, staging)
  await fails(stopped, 'interrupted', '`resume`')
  return staging
}

function journalOf(staging: string): string[] {
  return readFileSync(join(staging, journalName), 'utf8').split('\n')
}

test('resumed after an interruption: the same bytes, and nothing is done twice', async () => {
  const plan = await planOf(makeSource(), { dtype: 'f16' })
  const whole = await run(plan, tiny(4096))
  const tiles = plan.moves.reduce((sum, move) => sum + tilesOf(move, 4096).length, 0)
  for (const after of [1, 7, tiles - 1, tiles]) {
    const staging = await interrupt(plan, after, tiny(4096))
    let converted = 0
    const progress: number[] = []
    const { bytes, executed } = await run(
      plan,
      {
        ...tiny(4096),
        resuming: true,
        onProgress: ({ phase, done }) => {
          if (phase !== 'convert') return
          converted++
          progress.push(done)
        },
      },
      staging,
    )
    assert.is(converted, tiles - after, `tiles after the first ${after}`)
    assert.is(progress.at(-1) ?? plan.bytes, plan.bytes, 'progress ends with all bytes')
    equalBytes(bytes, whole.bytes, `interrupted after ${after}`)
    assert.is(executed.hashes.get(output), sha256(whole.bytes))
  }
})

test('a journaled tile is held against its checksum: what was damaged is made again', async () => {
  const plan = await planOf(makeSource(), { dtype: 'f16' })
  const whole = await run(plan, tiny(4096))
  const path = (staging: string) => join(staging, output)
  const at = plan.moves[0]?.target.parts[0]?.extents[0]?.offset ?? 0
  const damages: Record<string, (staging: string) => void> = {
    'a bit': (staging) => {
      const bytes = readFileSync(path(staging))
      bytes[at] = (bytes[at] ?? 0) ^ 1
      writeFileSync(path(staging), bytes)
    },
    zeros: (staging) => writeFileSync(path(staging), Buffer.alloc(whole.bytes.length)),
    cut: (staging) => writeFileSync(path(staging), whole.bytes.subarray(0, at + 5)),
    'too long': (staging) => writeFileSync(path(staging), Buffer.alloc(2 * whole.bytes.length, 7)),
    deleted: (staging) => rmSync(path(staging)),
  }
  for (const [what, damage] of Object.entries(damages)) {
    const staging = await interrupt(plan, 9, tiny(4096))
    damage(staging)
    const { bytes, executed } = await run(plan, { ...tiny(4096), resuming: true }, staging)
    equalBytes(bytes, whole.bytes, what)
    assert.is(executed.hashes.get(output), sha256(whole.bytes))
  }
})

test('a mistyped journal: its tiles are made again; without its first line, an input error', async () => {
  const plan = await planOf(makeSource(), { dtype: 'f16' })
  const whole = await run(plan, tiny(4096))
  const edits: [string, (text: string) => string][] = [
    ['another tile', (text) => text.replace('"tile":1,', '"tile":7,')],
    ['another sum', (text) => text.replace(/"crc32":\d+,"done"/, '"crc32":1,"done"')],
    ['facts', (text) => text.replaceAll('"nan":0', '"nan":1')],
    ['no JSON', (text) => text.replace('"done"', 'done')],
    ['other types', (text) => text.replaceAll('"tile"', '"tiles"')],
    ['null', (text) => text.replace(/\{"crc32":\d+,"done".*/, 'null')],
    ['a line in the middle', (text) => text.replace('\n', '\nxyz\n')],
  ]
  for (const [what, edit] of edits) {
    const staging = await interrupt(plan, 9, tiny(4096))
    const text = readFileSync(join(staging, journalName), 'utf8')
    assert.is.not(edit(text), text, what)
    writeFileSync(join(staging, journalName), edit(text))
    const { bytes, executed } = await run(plan, { ...tiny(4096), resuming: true }, staging)
    equalBytes(bytes, whole.bytes, what)
    assert.is(executed.facts.size, 0, what)
  }
  const staging = await interrupt(plan, 9, tiny(4096))
  const before = readFileSync(join(staging, journalName), 'utf8')
  for (const edit of [
    before.replace('plan', 'plam'),
    before.replace(/.*\n/, '{}\n'),
    before.replace(/.*\n/, '{"plan":"0123"}\n'),
  ]) {
    writeFileSync(join(staging, journalName), edit)
    const content = contentOf(staging)
    await fails(
      () => run(plan, { ...tiny(4096), resuming: true }, staging),
      'input',
      staging,
      'first line',
    )
    assert.equal(contentOf(staging), content)
  }
})

test('a link, or a file with another name, in the place of an output is not written through', async () => {
  const plan = await planOf(makeSource())
  for (const plant of [symlinkSync, linkSync]) {
    const staging = await interrupt(plan, 3, tiny(4096))
    const mine = join(tempDir(), 'mine')
    writeFileSync(mine, 'mine')
    rmSync(join(staging, output))
    plant(mine, join(staging, output))
    try {
      await run(plan, { ...tiny(4096), resuming: true }, staging)
      assert.unreachable('it was written through')
    } catch (error) {
      assert.is.not(error instanceof assert.Assertion, true)
    }
    assert.is(readFileSync(mine, 'utf8'), 'mine')
  }
})

test('another plan’s journal is refused', async () => {
  const made = makeSource()
  const plan = await planOf(made)
  const staging = await interrupt(plan, 3, tiny(4096))
  const resume =
    (other: Plan, budget = 4096) =>
    () =>
      run(other, { ...tiny(budget), resuming: true }, staging)
  await fails(resume(await planOf(made, { dtype: 'f16' })), 'usage', '`force`', staging)
  await fails(resume(await planOf(made, { maxShardSize: 20_000 })), 'usage', '`force`')
  await fails(resume(plan, 5000), 'usage', '`force`')
  await fails(resume(await planOf(makeSource())), 'usage', '`force`')
  const bytes = readFileSync(made.source)
  await new Promise((resolve) => setTimeout(resolve, 20))
  writeFileSync(made.source, bytes)
  await fails(resume(plan), 'usage', '`force`')
})

test('a refused --resume touches nothing, and the right one goes on', async () => {
  const made = makeSource()
  const plan = await planOf(made, { dtype: 'f16' })
  const whole = await run(plan, tiny(4096))
  const staging = await interrupt(plan, 5, tiny(4096))
  const before = contentOf(staging)
  for (const options of [{ dtype: 'f32' }, { dtype: 'bf16' }, { maxShardSize: 20_000 }] as const) {
    const other = await planOf(made, options)
    await fails(() => run(other, { ...tiny(4096), resuming: true }, staging), 'usage', '`force`')
    assert.equal(contentOf(staging), before)
  }
  const { bytes } = await run(plan, { ...tiny(4096), resuming: true }, staging)
  equalBytes(bytes, whole.bytes, 'resumed')
})

test('a last line that was cut anywhere: its tiles are done again, and the next run still knows all', async () => {
  const plan = await planOf(makeSource())
  const whole = await run(plan, tiny(4096))
  const tiles = plan.moves.reduce((sum, move) => sum + tilesOf(move, 4096).length, 0)
  const staging = await interrupt(plan, 5, tiny(4096))
  const [head = '', line = '', ...rest] = journalOf(staging)
  assert.equal(rest, [''])
  for (const length of [0, 1, line.length - 1, line.length]) {
    writeFileSync(join(staging, journalName), `${head}\n${line.slice(0, length)}`)
    const again = await run(plan, { ...tiny(4096), resuming: true }, staging)
    equalBytes(again.bytes, whole.bytes, `cut to ${length}`)
    let converted = 0
    const onProgress = ({ phase }: { phase: string }) => {
      if (phase === 'convert') converted++
    }
    await run(plan, { ...tiny(4096), resuming: true, onProgress }, staging)
    assert.is(converted, 0, `of ${tiles}, after a cut to ${length}`)
  }
})

test('interrupted before the journal was begun, or in its first line: from the start', async () => {
  const plan = await planOf(makeSource())
  const whole = await run(plan)
  for (const content of [undefined, '', '{"crc32":0123']) {
    const staging = tempDir()
    mkdirSync(staging, { recursive: true })
    if (content !== undefined) writeFileSync(join(staging, journalName), content)
    const { bytes } = await run(plan, { resuming: true }, staging)
    equalBytes(bytes, whole.bytes, String(content))
    assert.is(journalOf(staging).filter((line) => line.includes('"plan"')).length, 1)
    rmSync(staging, { recursive: true })
  }
})

const query = 'transformer/h/1/attention/wq/kernel'

test('NaN and infinities: how many, in which tensor and file; kept only when allowed', async () => {
  const made = makeSource(
    small,
    'float32',
    withValues(query, [Number.NaN, Number.POSITIVE_INFINITY, Number.NaN], 50),
  )
  for (const dtype of ['auto', 'f16', 'bf16'] as const) {
    const plan = await planOf(made, { dtype })
    await fails(
      () => run(plan),
      'input',
      query,
      made.source,
      '2 NaN and 1 infinite',
      '`allowNonFinite`',
    )
    const { executed } = await run(plan, { allowNonFinite: true })
    assert.equal(
      [...executed.facts],
      [
        [
          'model.layers.1.self_attn.q_proj.weight',
          { nan: 2, infinite: 1, overflowed: 0, vanished: 0 },
        ],
      ],
    )
  }
})

test('a NaN or an infinity would spoil a block, and stays out of it whatever is allowed', async () => {
  const model = { ...small, hidden: 64, intermediate: 64, heads: 4, kvHeads: 2, headDim: 16 }
  for (const value of [Number.NaN, Number.NEGATIVE_INFINITY]) {
    const made = makeSource(model, 'float32', withValues(query, [value], 50))
    for (const [to, dtype] of [
      ['gguf', 'q8_0'],
      ['gguf', 'q4_0'],
      ['onnx', 'q8'],
      ['onnx', 'q4'],
    ] as const) {
      const { plan } = await prepare(made, { to, dtype, out: join(made.folder, `${to}-${dtype}`) })
      const what = Number.isNaN(value) ? '1 NaN' : '1 infinite'
      await fails(() => run(plan, { allowNonFinite: true }), 'input', query, what)
    }
  }
})

test('overflow: refused, and counted when allowed; what vanishes is counted', async () => {
  const made = makeSource(
    small,
    'float32',
    withValues(query, [1e30, -65520, 65519.99, 1e-30, 2 ** -25], 0),
  )
  const plan = await planOf(made, { dtype: 'f16' })
  await fails(
    () => run(plan),
    'input',
    query,
    '2 values',
    'too large for f16',
    '`dtype` bf16',
    '`allowOverflow`',
  )
  const { executed } = await run(plan, { allowOverflow: true })
  const facts = executed.facts.get('model.layers.1.self_attn.q_proj.weight')
  assert.is(facts?.overflowed, 2)
  assert.is(facts?.vanished, 2)
  assert.equal((await run(await planOf(made, { dtype: 'bf16' }))).executed.facts, new Map())
})

for (const dtype of ['q3_k', 'q4_k', 'q6_k', 'q8_0'] as const) {
  test(`overflow of ${dtype}: a block that would become zeros is refused as an infinite one is`, async () => {
    const model = { ...small, hidden: 256, intermediate: 256, headDim: 32 }
    for (const [value, blocks] of [
      [1e38, 1],
      [-1e16, 1],
      [1, 0],
    ] as const) {
      const made = makeSource(model, 'float32', withValues(query, [value], 0))
      const plan = await planOf(made, {
        to: 'gguf',
        dtype: 'q8_0',
        mix: { tensorTypes: [`blk\\.1\\.attn_q=${dtype}`] },
      })
      const to = (options: Partial<ExecuteOptions> = {}) =>
        execute(plan, tempDir(), { ...executeOptions, ...options })
      const { facts: all } = await to({ allowOverflow: true })
      const facts = all.get('model.layers.1.self_attn.q_proj.weight')
      assert.is(facts?.overflowed ?? 0, blocks, String(value))
      if (blocks > 0) {
        const told = [query, '1 blocks of values', `too large for ${dtype}`, 'infinite or zero']
        await fails(() => to(), 'input', ...told)
      } else await to()
    }
  })
}

test('what an interrupted run was allowed, the one that resumes must be too', async () => {
  const made = makeSource(small, 'float32', withValues('transformer/wte/embedding', [Number.NaN]))
  const plan = await planOf(made)
  const staging = await interrupt(plan, 5, { ...tiny(4096), allowNonFinite: true })
  const resume = (allowNonFinite: boolean) =>
    run(plan, { ...tiny(4096), resuming: true, allowNonFinite }, staging)
  await fails(() => resume(false), 'input', 'transformer/wte/embedding', '1 NaN')
  assert.is((await resume(true)).executed.facts.get('model.embed_tokens.weight')?.nan, 1)
})

test('what is told of values is in the order of the tensors, in whatever order tiles were done', async () => {
  const keys = ['transformer/wte/embedding', query, 'transformer/ln_f/kernel', 'lm_head/kernel']
  const made = makeSource(small, 'float32', (array) =>
    keys.reduce((each, key) => withValues(key, [Number.NaN])(each), array),
  )
  const plan = await planOf(made)
  const { staging, executed } = await run(plan, { allowNonFinite: true })
  const [head = '', line = ''] = journalOf(staging)
  // Each in a line of its own, the last first.
  const { done } = JSON.parse(line)
  const lines = done.reverse().map((each: object) => {
    const text = JSON.stringify({ done: [each] })
    return JSON.stringify({ crc32: crc32(text), done: [each] })
  })
  writeFileSync(join(staging, journalName), `${[head, ...lines].join('\n')}\n`)
  const resumed = await run(plan, { allowNonFinite: true, resuming: true }, staging)
  assert.is(executed.facts.size, 4)
  assert.equal([...resumed.executed.facts], [...executed.facts])
})

test('sources are hashed', async () => {
  const made = makeSource()
  const { executed } = await run(await planOf(made))
  assert.is(executed.sourceHashes.get(made.source), sha256(readFileSync(made.source)))
})

test.run()
