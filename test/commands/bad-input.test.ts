import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openllama } from '../support/cli.js'
import { withValues } from '../support/conversion.js'
import { configJson } from '../support/listing.js'
import { small } from '../support/llama.js'
import { arrayRecord, arraysOf, type NumpyArray, streamOf, treeOf } from '../support/stream.js'
import { tempDir } from '../support/temp.js'

const test = suite('commands: bad input')

const arrays = arraysOf(small, 'float32')
const stream = streamOf(arrays)
const [first] = arrays
assert.ok(first)
const record = arrayRecord(first)
/** Where the payload of the first record begins. */
const payload = record.length - first.data.length
const query = 'transformer/h/0/attention/wq/kernel'

const edited = (key: string, change: (array: NumpyArray) => NumpyArray | undefined) =>
  streamOf(arrays.flatMap((array) => (array.key === key ? (change(array) ?? []) : array)))
const valued = (...values: number[]) => edited(query, withValues(query, values))

interface Bad {
  what: string
  /** The file `weights`, or several files, or none. */
  content: Uint8Array | string | Record<string, Uint8Array | string>
  /** What the message must have in it. */
  told: (string | number)[]
  /** What is converted, within the directory; `weights` where nothing is said. */
  source?: string
  flags?: string[]
}

const table: Bad[] = [
  {
    what: 'a stream cut in a key',
    content: stream.subarray(0, record.length + 9),
    told: [`ends at byte ${record.length + 9}`, 'the key of record 2', 'truncated'],
  },
  {
    what: 'a stream cut in a header',
    content: stream.subarray(0, payload - 3),
    told: [`ends at byte ${payload - 3}`, first.key, 'truncated'],
  },
  {
    what: 'a stream cut in a payload',
    content: stream.subarray(0, payload + 100),
    told: [
      `ends at byte ${payload + 100}`,
      `the bytes of "${first.key}"`,
      `${first.data.length} bytes are expected`,
      'truncated',
    ],
  },
  {
    what: 'trailing garbage',
    content: Buffer.concat([stream, Buffer.from('garbage')]),
    told: [`byte ${stream.length}`, '21 records before it are whole'],
  },
  {
    what: 'a key that is there twice',
    content: Buffer.concat([stream, record]),
    told: [first.key, 'second time', `byte ${stream.length}`],
  },
  {
    what: 'a tensor missing',
    content: edited(query, () => undefined),
    told: [query, '1 tensor is missing'],
  },
  {
    what: 'the output head missing',
    content: edited('lm_head/kernel', () => undefined),
    told: ['no output head'],
  },
  {
    what: 'a tensor too many',
    content: Buffer.concat([stream, arrayRecord({ ...first, key: 'transformer/extra' })]),
    told: ['transformer/extra', 'not of a LLaMA model'],
  },
  {
    what: 'a layer number that is absurd',
    content: Buffer.concat([
      stream,
      arrayRecord({ ...first, key: 'transformer/h/1000000000/ffn_norm/kernel' }),
    ]),
    told: ['layer 1000000000'],
  },
  {
    what: 'NaN',
    content: valued(Number.NaN),
    told: [query, '1 NaN and 0 infinite', '--allow-non-finite'],
  },
  {
    what: 'infinity',
    content: valued(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
    told: [query, '0 NaN and 2 infinite', '--allow-non-finite'],
  },
  {
    what: 'overflow',
    content: valued(1e30),
    flags: ['--dtype', 'f16'],
    told: [query, '1 values', 'too large for f16', '--allow-overflow', '--dtype bf16'],
  },
  {
    what: 'a wrong shape',
    content: edited(query, (array) => ({ ...array, shape: [32, 40] })),
    told: [query, '[40, 32]', 40, 32],
  },
  {
    what: 'a shape that disagrees with config.json',
    content: { weights: stream, 'config.json': configJson({ ...small, hidden: 48 }) },
    told: ['config.json', 'hidden_size 48', 40],
  },
  {
    what: 'an unknown dtype',
    content: edited(query, (array) => ({ ...array, dtype: 'int4' })),
    told: [query, 'int4', 'bfloat16'],
  },
  {
    what: 'an array that claims 2^40 bytes',
    content: edited(query, (array) => ({ ...array, shape: [2 ** 19, 2 ** 19] })),
    told: [query, 2 ** 40, 5120],
  },
  {
    what: 'a safetensors header that claims 2^40 bytes',
    content: Buffer.from('00000000000100007b7d', 'hex'),
    told: ['weights'],
  },
  {
    what: 'the same, by its name',
    content: { 'model.safetensors': Buffer.from('00000000000100007b7d', 'hex') },
    source: '.',
    told: ['model.safetensors', 2 ** 40, 'at most'],
  },
  {
    what: 'a Git LFS pointer',
    content: 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 27000000000\n',
    told: ['Git LFS pointer', '27000000000', 'git lfs pull'],
  },
  { what: 'a web page', content: '<!DOCTYPE html><html></html>', told: ['web page', 'download'] },
  { what: 'an empty file', content: '', told: ['empty', 'again'] },
  {
    what: 'an empty file by a load string',
    content: '',
    source: 'params::weights',
    told: ['empty'],
  },
  {
    what: 'a directory with nothing usable',
    content: { 'notes.txt': 'x' },
    source: '.',
    told: ['no checkpoint', 'EasyLM'],
  },
  {
    what: 'a directory in a file’s place',
    content: { 'notes.txt': 'x' },
    source: 'params::.',
    told: ['directory'],
  },
  {
    what: 'a file that is not there',
    content: { 'notes.txt': 'x' },
    told: ['weights', 'no such file'],
  },
  {
    what: 'a configuration of another model',
    content: {
      weights: stream,
      'config.json': '{"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"]}',
    },
    told: ['config.json', 'gpt_neox', 'LlamaForCausalLM'],
  },
  {
    what: 'a configuration that is no JSON',
    content: { weights: stream, 'config.json': '{"vocab_size": ' },
    told: ['config.json', 'JSON'],
  },
  {
    what: 'a flax tree that is cut',
    content: treeOf(arrays).subarray(0, 3000),
    told: ['ends at byte 3000', 'truncated'],
  },
  {
    what: 'random bytes',
    content: Buffer.from('8f3a5511aa77c1d2e4', 'hex'),
    told: ['none of the known formats'],
  },
]

for (const { what, content, told, source = 'weights', flags = [] } of table) {
  const folder = tempDir()
  const inside = join(folder, 'in')
  mkdirSync(inside)
  const files =
    typeof content === 'string' || content instanceof Uint8Array ? { weights: content } : content
  const usable = { ...('notes.txt' in files ? {} : { 'config.json': configJson(small) }), ...files }
  for (const [name, bytes] of Object.entries(usable)) writeFileSync(join(inside, name), bytes)
  const args = ['convert', source, '--to', 'safetensors', '--out', '../out', ...flags]
  const ran = openllama(args, { cwd: inside })

  test(`${what}: exit 3, what, where and what to do, and nothing is left`, async () => {
    const { code, stdout, stderr } = await ran
    assert.is(code, 3, stderr)
    assert.is(stdout, '')
    assert.match(stderr, /^error: /m)
    for (const part of told)
      assert.ok(stderr.includes(String(part)), `"${part}" is not in: ${stderr}`)
    assert.not(/\n\s+at .*:\d+/.test(stderr), `a stack trace: ${stderr}`)
    assert.ok(stderr.trim().split('\n').length <= 4, `a message, not a page: ${stderr}`)
    assert.equal(readdirSync(folder), ['in'], 'something was left')
  })
}

test('every message says what to do', async () => {
  for (const { what, told } of table) assert.ok(told.length > 0, what)
})

const odd = tempDir()
writeFileSync(join(odd, 'weights'), valued(Number.NaN, Number.POSITIVE_INFINITY, 1e30))
writeFileSync(join(odd, 'config.json'), configJson(small))
const keep = ['convert', join(odd, 'weights'), '--to', 'safetensors', '--json']
const kept = openllama([...keep, '--out', join(odd, 'kept'), '--allow-non-finite'])
const plain = ['convert', join(odd, 'weights'), '--to', 'safetensors', '--allow-non-finite']
const told = openllama([...plain, '--out', join(odd, 'told')])
const both = openllama([
  ...keep,
  '--out',
  join(odd, 'both'),
  '--allow-non-finite',
  '--allow-overflow',
  '--dtype',
  'f16',
])
const half = openllama([
  ...keep,
  '--out',
  join(odd, 'half'),
  '--allow-non-finite',
  '--dtype',
  'f16',
])

test('--allow-non-finite keeps NaN and infinities, and reports them', async () => {
  const { code, stdout, stderr } = await kept
  assert.is(code, 0, stderr)
  const { values, options, warnings } = JSON.parse(stdout)
  assert.match(
    warnings.join(),
    /q_proj.*1 NaN values were kept.*q_proj.*1 infinite values were kept/,
  )
  assert.match((await told).stderr, /warning: .*q_proj.*1 NaN values were kept/)
  assert.equal(values, {
    'model.layers.0.self_attn.q_proj.weight': { nan: 1, infinite: 1, overflowed: 0, vanished: 0 },
  })
  assert.is(options.allow_non_finite, true)
})

test('--allow-overflow makes infinities, and reports them; without it the other flag is not enough', async () => {
  const { code, stdout, stderr } = await both
  assert.is(code, 0, stderr)
  assert.match(JSON.parse(stdout).warnings.join(), /1 values were too large for f16/)
  assert.is(JSON.parse(stdout).values['model.layers.0.self_attn.q_proj.weight'].overflowed, 1)
  const refused = await half
  assert.is(refused.code, 3)
  assert.match(JSON.parse(refused.stdout).error.message, 'too large for f16')
  assert.not(existsSync(join(odd, 'half')) || existsSync(join(odd, 'half.partial')))
})

test.run()
