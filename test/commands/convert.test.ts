import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openllama } from '../support/cli.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

const test = suite('commands: convert')

const folder = tempDir()
const source = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')
const config = fixture('tiny-v2', 'config.json')
const out = (name: string) => join(folder, name)
const convert = (name: string, ...flags: string[]) =>
  openllama(
    ['convert', source, '--to', 'safetensors', '--config', config, '--out', out(name), ...flags],
    { cwd: folder },
  )

const json = convert('json', '--json', '--dtype', 'f16')
test('--json: one document on stdout, the result; the rest on stderr', async () => {
  const { code, stdout, stderr } = await json
  assert.is(code, 0, stderr)
  const result = JSON.parse(stdout)
  assert.is(result.out, out('json'))
  assert.equal(result.casts, [{ from: 'bf16', to: 'f16', tensors: 21, parameters: 984_320 }])
  assert.equal(
    readdirSync(out('json')).sort(),
    [...result.target.files.map(({ name }: { name: string }) => name), 'openllama.json'].sort(),
  )
  const { out: _, warnings: __, ...record } = result
  assert.equal(JSON.parse(readFileSync(join(out('json'), 'openllama.json'), 'utf8')), record)
})

const text = convert('text')
test('text: where the output is, and its files; no progress on stdout', async () => {
  const { code, stdout, stderr } = await text
  assert.is(code, 0, stderr)
  assert.is(stdout.split('\n')[0], out('text'))
  for (const part of [
    '21 tensors',
    '984 k parameters',
    'bf16 kept',
    'model.safetensors',
    'config.json',
  ])
    assert.ok(stdout.includes(part), stdout)
  assert.is(stderr, '')
})

const dry = convert('dry', '--dry-run')
const dryJson = convert('dry', '--dry-run', '--json', '--dtype', 'f32', '--max-shard-size', '1MB')
test('--dry-run shows files, sizes, casts, memory and disk, and writes nothing', async () => {
  const { code, stdout } = await dry
  assert.is(code, 0)
  for (const part of [
    out('dry'),
    'model.safetensors',
    'bf16 kept (21 tensors)',
    'free',
    'memory',
    '1.97 MB',
  ])
    assert.ok(stdout.includes(part), `${part}: ${stdout}`)
  // What it comes to stands last, where it is still to be seen.
  assert.match(stdout, /^files\n/)
  assert.match(stdout.trimEnd().split('\n').at(-1) ?? '', /^check +/)
  const plan = JSON.parse((await dryJson).stdout)
  assert.is(
    plan.files.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0),
    plan.bytes,
  )
  assert.ok(plan.bytes > 4 * 984_320 && plan.free_disk > 0 && plan.memory <= 512e6)
  assert.ok(plan.files.length > 5)
  const query = plan.tensors.find(
    ({ from }: { from: string }) => from === 'transformer/h/0/attention/wq/kernel',
  )
  assert.equal(query.steps, ['transpose', 'rotary', 'cast'])
  assert.is(plan.config.num_key_value_heads, 2)
  assert.not(existsSync(out('dry')))
  assert.not(existsSync(out('dry.partial')))
})

test('--dry-run ends as the run would: an output that exists is refused', async () => {
  mkdirSync(out('existing'))
  const { code, stdout, stderr } = await convert('existing', '--dry-run')
  assert.is(code, 2)
  assert.match(stdout, /^check +/m)
  assert.match(stderr, /it exists already(.|\n)*--force/)
})

const wanted = convert('planned', '--json', '--dtype', 'f32', '--max-shard-size', '1MB')
test('a run writes what --dry-run said', async () => {
  const plan = JSON.parse((await dryJson).stdout)
  assert.equal(
    JSON.parse((await wanted).stdout).target.files.map(
      ({ name, bytes }: { name: string; bytes: number }) => ({ name, bytes }),
    ),
    plan.files,
  )
})

const named = openllama(
  ['convert', source, '--to', 'safetensors', '--config', config, '--dtype', 'f16'],
  { cwd: folder },
)
test('without --out the output is named after the source, in the working directory', async () => {
  assert.is((await named).code, 0)
  assert.ok(existsSync(out('streaming_params_bf16-safetensors-f16')))
})

const bare = openllama(['convert', source, '--to', 'safetensors', '--out', out('bare'), '--json'])
test('the head count left open: exit 2, and the flags that decide it, in JSON as well', async () => {
  const { code, stdout } = await bare
  assert.is(code, 2)
  const { error } = JSON.parse(stdout)
  assert.is(error.code, 'usage')
  assert.is(error.exit, 2)
  assert.match(error.suggestions.join(), /--heads.*--config/)
})

const heads = openllama([
  'convert',
  source,
  '--to',
  'safetensors',
  '--out',
  out('heads'),
  '--heads',
  '8',
])
test('--heads decides it, and what is assumed besides is said', async () => {
  const { code, stderr } = await heads
  assert.is(code, 0, stderr)
  assert.match(stderr, /warning: .*rms_norm_eps/)
  const written = JSON.parse(readFileSync(join(out('heads'), 'config.json'), 'utf8'))
  assert.equal(
    [written.num_attention_heads, written.num_key_value_heads, written.head_dim],
    [8, 2, 32],
  )
})

const swapped = convert('swapped', '--heads', '2')
test('heads and key-value heads the wrong way round: refused', async () => {
  const { code, stderr } = await swapped
  assert.is(code, 3, stderr)
  assert.match(stderr, '--heads')
})

mkdirSync(out('there'))
writeFileSync(join(out('there'), 'mine'), '')
writeFileSync(out('file'), '')
const usage: [string, string[], string[]][] = [
  [
    'an existing output',
    [source, '--to', 'safetensors', '--config', config, '--out', out('there')],
    ['exists', '--force'],
  ],
  [
    '--force over what is not ours',
    [source, '--to', 'safetensors', '--config', config, '--out', out('there'), '--force'],
    ['openllama.json'],
  ],
  [
    'an existing file',
    [source, '--to', 'safetensors', '--config', config, '--out', out('file'), '--force'],
    ['file'],
  ],
  [
    'an unknown preset',
    [source, '--to', 'safetensors', '--config', 'llama_9b'],
    ['llama_9b', 'open_llama_3b_v2'],
  ],
  ['an unknown flag', [source, '--to', 'safetensors', '--fast'], ['--fast']],
  ['no source', ['--to', 'safetensors'], ['source']],
  ['no format', [source], ['to']],
  ['an unknown format', [source, '--to', 'zip'], ['zip', 'safetensors']],
  ['an unknown dtype', [source, '--to', 'safetensors', '--dtype', 'f8'], ['f8', 'bf16']],
  [
    '--max-memory that is no size',
    [source, '--to', 'safetensors', '--max-memory', 'much'],
    ['--max-memory', 'much', '512MB'],
  ],
  [
    '--max-memory that is too small',
    [source, '--to', 'safetensors', '--max-memory', '1MB'],
    ['--max-memory', '1.00 MB', '16.8 MB'],
  ],
  ['--max-memory 0', [source, '--to', 'safetensors', '--max-memory', '0'], ['--max-memory']],
  [
    '--max-shard-size that is no size',
    [source, '--to', 'safetensors', '--max-shard-size', '-1'],
    ['--max-shard-size'],
  ],
  ['--threads 0', [source, '--to', 'safetensors', '--threads', '0'], ['threads']],
  ['--heads that is no number', [source, '--to', 'safetensors', '--heads', 'many'], ['heads']],
  [
    '--resume and --force',
    [source, '--to', 'safetensors', '--resume', '--force'],
    ['--resume', '--force'],
  ],
  [
    'an unknown load type',
    [`weights::${source}`, '--to', 'safetensors'],
    ['weights::', 'params::'],
  ],
]
for (const [i, [what, args, told]] of usage.entries()) {
  // A start takes a third of a second: every third of them is looked at as text, all as JSON.
  const plain = i % 3 === 0 ? openllama(['convert', ...args], { cwd: folder }) : undefined
  const asJson = openllama(['convert', ...args, '--json'], { cwd: folder })
  test(`${what}: exit 2, also with --json`, async () => {
    const { code, stdout } = await asJson
    const { error } = JSON.parse(stdout)
    assert.equal([code, error.code, error.exit], [2, 'usage', 2], error.message)
    const whole = [error.message, ...(error.suggestions ?? [])].join('\n')
    for (const part of told) assert.ok(whole.includes(part), `"${part}" is not in: ${whole}`)
    if (plain === undefined) return
    const text = await plain
    assert.is(text.code, 2, text.stderr)
    assert.is(text.stdout, '')
    for (const part of told) assert.ok(text.stderr.includes(part), text.stderr)
    assert.not(/\n\s+at .*:\d+/.test(text.stderr), text.stderr)
  })
}

test('what was there is untouched, and nothing was left beside it', () => {
  assert.equal(readdirSync(out('there')), ['mine'])
  assert.equal(
    readdirSync(folder).filter((name) => name.includes('.partial')),
    [],
  )
})

test.run()
