import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { ModelProtoSchema } from 'onnx-buf'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { writeCard } from '../../src/card/card.js'
import { editFrontMatter, readFrontMatter, splitCard } from '../../src/card/front-matter.js'
import { frontMatterChanges } from '../../src/card/metadata.js'
import { releases } from '../../src/card/releases.js'
import type { Subject } from '../../src/card/subject.js'
import { cardFaults } from '../../src/card/validate.js'
import { toYaml } from '../../src/card/yaml.js'
import { presets } from '../../src/checkpoint/presets.js'
import { parseFrontMatter } from '../../src/io/front-matter.js'
import { fails } from '../support/errors.js'
import { fixture } from '../support/paths.js'
import { makeSparse } from '../support/sparse.js'
import { tempDir } from '../support/temp.js'
import { type ConversionOptions, cardOf, converted } from './made.js'
import { bareSubject } from './subject.js'

const test = suite('card')

/** Everything in a directory, below it too, with its bytes. */
function snapshot(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const path = join(entry.parentPath, entry.name)
        return [path, readFileSync(path, 'base64')]
      }),
  )
}

const formats: [
  options: ConversionOptions,
  library: string,
  files: RegExp,
  snippet: RegExp,
  others: readonly string[],
][] = [
  [
    { to: 'safetensors', dtype: 'f16' },
    'transformers',
    /`model\.safetensors` \| safetensors \| f16 × 21 \| 1\.97 MB \| 16\.00 \|/,
    /AutoModelForCausalLM\.from_pretrained\("\."/,
    ['llama.cpp', 'onnxruntime', 'pipeline(', 'msgpack'],
  ],
  [
    { to: 'safetensors', dtype: 'f32', maxShardSize: 500_000 },
    'transformers',
    /`model-00001-of-000\d\d\.safetensors` … `model-000\d\d-of-000\d\d\.safetensors` \(\d+ files\)/,
    /from_pretrained\("\."/,
    ['llama.cpp'],
  ],
  [
    { to: 'gguf', dtype: 'q4_k_m' },
    'gguf',
    // As llama-quantize counts: 4.98 bits, scales and f32 norms included.
    /\.gguf` \| GGUF \| q4_k × 13, f32 × 5, q6_k × 3 \| 626 kB \| 4\.98 \|/,
    /llama-completion -m \S+\.gguf \\\n {2}-p '/,
    ['AutoModel', 'onnxruntime'],
  ],
  [
    { to: 'onnx', dtype: 'q4' },
    'transformers.js',
    /`onnx\/model_q4\.onnx`<br>`onnx\/model_q4\.onnx_data` \| ONNX \| q4 × 16, f32 × 5/,
    /dtype: "q4"/,
    ['AutoModel', 'llama-completion'],
  ],
  [
    { to: 'onnx', dtype: 'f32' },
    'transformers.js',
    /ONNX \| f32 × 21 \| 3\.96 MB \| 32\.00/,
    /InferenceSession\(f"\{folder\}\/" \+ "onnx\/model\.onnx"\)/,
    ['AutoModel'],
  ],
  [
    { to: 'easylm' },
    'easylm',
    /`streaming_params` \| EasyLM \| bf16 × 21 \| 1\.97 MB \| 16\.00/,
    /params::streaming_params/,
    ['AutoModel', 'msgpack_restore'],
  ],
  [{ to: 'flax' }, 'flax', /`params\.msgpack` \| Flax/, /msgpack_restore/, ['Unpacker']],
  [
    { to: 'meta', modelParallel: 2 },
    'pytorch',
    /`consolidated\.00\.pth`<br>`consolidated\.01\.pth` \| Meta \| bf16 × 21/,
    /\["consolidated\.00\.pth", "consolidated\.01\.pth"\]/,
    ['AutoModel'],
  ],
  [
    { to: 'pytorch' },
    'transformers',
    /`pytorch_model\.bin` \| PyTorch \| bf16 × 21/,
    /from_pretrained\("\."/,
    [],
  ],
]

for (const [options, library, files, snippet, others] of formats) {
  test(`a card of ${options.to} ${options.dtype ?? ''}: what it is, and only examples that fit`, async () => {
    const folder = await converted('tiny-v2', options)
    const { text, keys, formats: found } = await cardOf(folder)
    assert.equal(found, [options.to])
    assert.is(keys.library_name, library)
    assert.is(keys.pipeline_tag, 'text-generation')
    assert.match(text, files)
    assert.match(
      text,
      'It has 2 layers, a hidden size of 256, 8 attention heads (2 for keys and values)',
    )
    assert.match(text, snippet)
    for (const other of others) assert.not.match(text, other)
    // Of a model that nobody knows, nothing is claimed.
    for (const key of ['license', 'base_model', 'datasets']) assert.is(keys[key], undefined)
    const { source, target } = JSON.parse(readFileSync(join(folder, 'openllama.json'), 'utf8'))
    for (const { name, sha256 } of [...source.files, ...target.files])
      assert.ok(text.includes(`\`${name}\` | `) && text.includes(`\`${sha256}\``), name)
    const before = snapshot(folder)
    await writeCard(folder)
    assert.equal(snapshot(folder), before, 'once more gives the same bytes')
  })
}

for (const { id, title, tokenizer, repository } of releases) {
  test(`a card of ${id}, known by the folder's name and the geometry`, async () => {
    const config = presets.get(id)
    assert.ok(config)
    const folder = join(tempDir(), `${id}_easylm`)
    mkdirSync(folder)
    const model = {
      vocab: config.vocab_size,
      hidden: config.hidden_size,
      intermediate: config.intermediate_size,
      layers: config.num_hidden_layers,
      heads: config.num_attention_heads,
      kvHeads: config.num_key_value_heads,
      headDim: config.head_dim,
    }
    const bytes = await makeSparse(join(folder, 'streaming_params'), model, 'bf16')
    const { text, keys, model: known, files, warnings } = await cardOf(folder)
    assert.is(known, id)
    assert.match(text, `# ${title} (EasyLM)\n`)
    assert.is(keys.license, 'apache-2.0')
    assert.is(keys.base_model, repository)
    assert.is(keys.base_model_relation, undefined)
    assert.equal(cardFaults(text, 'README.md'), [])
    assert.equal(warnings, [])
    assert.match(text, `${(bytes / 1e9).toPrecision(3)} GB | 16.00 |`)
    assert.is(/merges runs of spaces/.test(text), tokenizer === 'v1')
    // Every release but 3B v3 was evaluated.
    const hasChart = id !== 'open_llama_3b_v3'
    assert.is(existsSync(join(folder, 'openllama-evaluation.svg')), hasChart)
    assert.is(text.includes('](openllama-evaluation.svg)'), hasChart)
    assert.is(files.length, hasChart ? 2 : 1)
    assert.match(text, '@software{openlm2023openllama')
  })
}

test('a name alone makes no release of other weights', async () => {
  const folder = await converted('tiny-v2', { to: 'easylm' }, 'open_llama_3b_v2')
  assert.is((await cardOf(folder)).model, null)
  const before = snapshot(folder)
  await fails(
    () => writeCard(folder, { model: 'open_llama_3b_v2' }),
    'usage',
    folder,
    'hidden_size is 256, open_llama_3b_v2 has 3200',
  )
  assert.equal(snapshot(folder), before)
})

test('a release is named for weights whose geometry nothing tells: refused', async () => {
  const folder = await converted('tiny-v2', { to: 'onnx', dtype: 'q4' }, 'open_llama_3b_v2')
  rmSync(join(folder, 'config.json'))
  // Levels with zero points are not read.
  const graph = join(folder, 'onnx', 'model_q4.onnx')
  const model = fromBinary(ModelProtoSchema, readFileSync(graph))
  model.graph?.node.find(({ opType }) => opType === 'MatMulNBits')?.input.push('zero_points')
  writeFileSync(graph, toBinary(ModelProtoSchema, model))
  assert.is((await cardOf(folder)).model, null)
  await fails(
    () => writeCard(folder, { model: 'open_llama_3b_v2' }),
    'usage',
    'nothing tells the geometry',
    'config.json',
  )
})

test('quantized weights: base model and relation, which go when floats take their place', async () => {
  const release = releases.find(({ id }) => id === 'open_llama_7b_v2')
  const repo = 'me/open_llama_7b_v2-GGUF'
  const subject = { ...bareSubject, release, repo, isQuantized: true }
  const keysOf = (subject: Subject, yaml = '') =>
    readFrontMatter(
      editFrontMatter(yaml, frontMatterChanges(subject, undefined, {}), '\n', 'README.md'),
      'README.md',
    )
  const first = keysOf(subject)
  assert.is(first.base_model, 'openlm-research/open_llama_7b_v2')
  assert.is(first.base_model_relation, 'quantized')
  const second = keysOf({ ...subject, isQuantized: false }, toYaml(first))
  assert.is(second.base_model, 'openlm-research/open_llama_7b_v2')
  assert.is(second.base_model_relation, undefined)
  // The release's own repository has no base.
  const own = keysOf({ ...subject, repo: 'openlm-research/open_llama_7b_v2', isQuantized: false })
  assert.is(own.base_model, undefined)
  const folder = await converted('tiny-v2', { to: 'gguf', dtype: 'q4_k_m' })
  const { text } = await cardOf(folder, { repo })
  assert.match(text, 'llama-completion --hf-repo me/open_llama_7b_v2-GGUF --hf-file ')
})

test('files without a record: of k-quants it is said that some tensors have another type', async () => {
  const wider = /cannot be divided into the blocks of 256/
  for (const [dtype, said] of [
    ['q4_1', false],
    ['q4_k_m', true],
  ] as const) {
    const folder = await converted('tiny-v1', { to: 'gguf', dtype })
    rmSync(join(folder, 'openllama.json'))
    assert.is(wider.test((await cardOf(folder)).text), said, dtype)
  }
})

test('several GGUFs in one folder, each with its record', async () => {
  const folder = await converted('tiny-v1', { to: 'gguf', dtype: 'q8_0' })
  const other = await converted('tiny-v1', { to: 'gguf', dtype: 'q4_k_m' })
  const nameIn = (path: string) => readdirSync(path).find((name) => name.endsWith('.gguf')) ?? ''
  const [large, small] = [nameIn(folder), nameIn(other)]
  renameSync(join(folder, 'openllama.json'), join(folder, `${large}.openllama.json`))
  cpSync(join(other, small), join(folder, small))
  cpSync(join(other, 'openllama.json'), join(folder, `${small}.openllama.json`))
  const { text } = await cardOf(folder)
  assert.match(text, `### \`${large}\``)
  assert.match(text, `### \`${small}\``)
  // The one that most people want is in the example.
  assert.match(text, `llama-completion -m ${small} `)
  // tiny-v1 has rows of 160 and 416.
  const record = JSON.parse(readFileSync(join(folder, `${small}.openllama.json`), 'utf8'))
  assert.ok(record.quantization.fallbacks.length > 0)
  assert.match(
    text,
    `q5_0 instead of q4_k for 12 tensors (${record.quantization.fallbacks[0].reason})`,
  )
  assert.is(text.match(/rows of 160 are no multiple of 256/g)?.length, 2, 'said once of each type')
  // It merges spaces, which llama.cpp cannot.
  assert.is(
    text.match(/llama\.cpp does not merge spaces/g)?.length,
    2,
    'in the advice and once more',
  )
  // Without its record the geometry tells of them.
  rmSync(join(folder, `${small}.openllama.json`))
  assert.match((await cardOf(folder)).text, 'Rows of 160 weights cannot be divided')
})

test('the tokenizer advice is this folder’s', async () => {
  const folder = await converted('tiny-v1', { to: 'safetensors' })
  assert.match(
    (await cardOf(folder)).text,
    /which was verified against SentencePiece.* it merges runs/,
  )
  const kept = await converted('tiny-v2', { to: 'safetensors' })
  const path = join(kept, 'openllama.json')
  const record = JSON.parse(readFileSync(path, 'utf8'))
  record.options.keep_tokenizer = true
  writeFileSync(path, JSON.stringify(record))
  assert.match((await cardOf(kept)).text, /was not written by openllama .* it keeps every space/)
  rmSync(join(kept, 'tokenizer.json'))
  assert.match((await cardOf(kept)).text, /there is no `tokenizer\.json`.*tokenizer convert/)
  rmSync(join(kept, 'tokenizer.model'))
  const bare = (await cardOf(kept)).text
  assert.match(bare, 'There is no tokenizer in this folder')
  assert.not.match(bare, 'AutoTokenizer')
})

test('a check’s figures are told, and go when they are gone', async () => {
  const folder = await converted('tiny-v2', { to: 'gguf', dtype: 'q4_k_m' })
  const path = join(folder, 'openllama.json')
  const record = JSON.parse(readFileSync(path, 'utf8'))
  const check = {
    verdict: 'passed',
    engine: 'llama.cpp',
    device: 'cpu',
    smoke: { prompt: 'Q: ```x', continuation: '\n```\n# no <b>heading</b>', tokens: 4, faults: [] },
    parity: {
      against: { name: 'streaming_params', format: 'easylm', dtype: 'bf16', engine: 'onnxruntime' },
      positions: 321,
      metrics: [
        { name: 'kld_mean', value: 0.01234, limit: 0.05, passed: true },
        { name: 'top1_agreement', value: 0.96875, limit: null, passed: true },
      ],
      greedy: { common: 30, of: 32 },
    },
    notes: ['a note'],
  }
  writeFileSync(path, JSON.stringify({ ...record, check }))
  const { text, sections } = await cardOf(folder)
  assert.ok(sections.includes('check'))
  assert.match(text, '| KL divergence, mean | 0.01234 | ≤ 0.05 | yes |')
  assert.match(text, '| same likeliest token | 96.875 % |  |  |')
  assert.match(text, 'at 321 positions')
  assert.match(text, 'first 30 of 32 tokens')
  assert.match(
    text,
    '````text\nQ: ```x\n````\n\nIts greedy continuation:\n\n````text\n\n```\n# no <b>heading</b>\n````',
  )
  writeFileSync(path, JSON.stringify(record))
  assert.not.match((await cardOf(folder)).text, 'KL divergence')
})

test('the license: the user’s, the card’s, the file’s, and none is made up', async () => {
  const folder = await converted('tiny-v2', {
    to: 'gguf',
    metadata: ['general.license=llama2'],
  })
  assert.is((await cardOf(folder)).keys.license, 'llama2')
  const { keys, text, out, warnings } = await cardOf(folder, { license: 'mit' })
  assert.is(keys.license, 'mit')
  assert.equal(warnings, [])
  // The card says something now, and the file does not count any more.
  assert.is((await cardOf(folder)).text, text)
  writeFileSync(out, text.replace('license: mit\n', 'license: cc-by-4.0  # mine\n'))
  assert.match((await cardOf(folder)).text, 'license: cc-by-4.0  # mine\n')
  await fails(() => writeCard(folder, { license: 'MIT License' }), 'usage', '`license` is "MIT')
})

test('a license with a name and an address of its own comes with them', async () => {
  const folder = await converted('tiny-v2', {
    to: 'gguf',
    metadata: [
      'general.license=other',
      'general.license.name=our-license',
      'general.license.link=https://example.org/license',
    ],
  })
  const { keys, warnings } = await cardOf(folder)
  assert.equal(
    [keys.license, keys.license_name, keys.license_link],
    ['other', 'our-license', 'https://example.org/license'],
  )
  assert.equal(warnings, [])
})

test('what was converted from a repository is based on it, and says its commit', async () => {
  const folder = await converted('tiny-v2', { to: 'gguf', dtype: 'q8_0' })
  const path = join(folder, 'openllama.json')
  const record = JSON.parse(readFileSync(path, 'utf8'))
  Object.assign(record.source, { repository: 'someone/tiny', commit: 'a'.repeat(40) })
  writeFileSync(path, JSON.stringify(record))
  const { keys, text } = await cardOf(folder)
  assert.equal([keys.base_model, keys.base_model_relation], ['someone/tiny', 'quantized'])
  assert.match(
    text,
    `[someone/tiny](https://huggingface.co/someone/tiny) at commit \`${'a'.repeat(40)}\``,
  )
  rmSync(join(folder, 'README.md'))
  assert.is((await cardOf(folder, { repo: 'someone/tiny' })).keys.base_model, undefined)
})

test('hashes that were not recorded leave no empty column', async () => {
  const folder = await converted('tiny-v2', { to: 'easylm' })
  const path = join(folder, 'openllama.json')
  const record = JSON.parse(readFileSync(path, 'utf8'))
  assert.match((await cardOf(folder)).text, 'SHA-256')
  for (const file of [...record.source.files, ...record.target.files]) file.sha256 = null
  writeFileSync(path, JSON.stringify(record))
  assert.not.match((await cardOf(folder)).text, 'SHA-256')
})

test('a hand’s text stays byte for byte, in the front matter too', async () => {
  const folder = await converted('tiny-v2', { to: 'safetensors' })
  const options = { evals: [fixture('lm-eval', 'old.json')] }
  writeFileSync(join(folder, 'README.md'), '---\nlicense: apache-2.0\n---\n# Model\n')
  const { text, out } = await cardOf(folder, options)
  const own = [
    '# my comment\nmine:   {a: 1,   b: [x]}   # kept\n',
    'My introduction.   \n\n\t* odd  spacing\n\n',
    '\n\n## My section\n<b>html</b> `code` <!-- a comment of mine -->\n',
    'The end, without a line break',
  ]
  const edited = text
    .replace('pipeline_tag:', `${own[0]}pipeline_tag:`)
    .replace('license: apache-2.0\n', 'license:   mit  # mine\n')
    .replace('<!-- openllama:about -->', `${own[1]}<!-- openllama:about -->`)
    .replace('<!-- /openllama:use -->\n', `<!-- /openllama:use -->\n${own[2]}`)
    .concat(own[3] ?? '')
  writeFileSync(out, edited)
  // Nothing has changed: not one byte is written otherwise, whichever results are given.
  await writeCard(folder, options)
  assert.is(readFileSync(out, 'utf8'), edited)
  await writeCard(folder)
  assert.is(readFileSync(out, 'utf8'), edited)
  // Other weights: our parts change and the hand's do not.
  const other = await converted('tiny-v1', { to: 'gguf', dtype: 'q8_0' })
  cpSync(out, join(other, 'README.md'))
  const next = await cardOf(other, { evals: [fixture('lm-eval', 'new.json')] })
  for (const part of own) assert.ok(next.text.includes(part), part)
  assert.match(next.text, 'license:   mit  # mine\n')
  assert.ok(next.text.endsWith(own[3] ?? '?'))
  assert.match(next.text, 'library_name: gguf')
  assert.match(next.text, 'q8_0 × ')
  assert.not.match(next.text, 'model.safetensors')
  assert.not.match(next.text, 'wikitext')
  const outside = (card: string) =>
    splitCard(card, '\n').body.replace(
      /(<!-- openllama:(\w+) -->\n)[\s\S]*?(<!-- \/openllama:\2 -->)/g,
      '$1$3',
    )
  assert.ok(outside(next.text).startsWith(outside(edited).slice(0, 40)))
})

test('somebody’s card without our markers keeps its text and gets our sections', async () => {
  const folder = await converted('tiny-v2', { to: 'safetensors' })
  const theirs = '---\r\nlicense: mit\r\n---\r\n# Theirs\r\n\r\ntext\r\n'
  writeFileSync(join(folder, 'README.md'), theirs)
  const { text } = await cardOf(folder)
  assert.ok(text.includes('\r\n---\r\n# Theirs\r\n\r\ntext\r\n\r\n<!-- openllama:about -->\r\n'))
  assert.not.match(text.replaceAll('\r\n', ''), '\n')
  assert.is((await cardOf(folder)).text, text)
  // The plain reader of converters understands it.
  assert.equal(parseFrontMatter(text, 'README.md').get('tags'), ['llama', 'safetensors'])
})

test('results and a loss: table, model-index, .eval_results, chart', async () => {
  const folder = await converted('tiny-v2', { to: 'safetensors' })
  writeFileSync(join(folder, 'train.csv'), 'step,loss\n0,4\n1,3\n2,2\n')
  const { text, keys, files } = await cardOf(folder, {
    repo: 'me/tiny-v2',
    evals: [fixture('lm-eval', 'new.json'), fixture('lm-eval', 'old.json')],
    loss: join(folder, 'train.csv'),
  })
  assert.equal(files.map(({ path }) => path.slice(folder.length + 1)).sort(), [
    '.eval_results/lm-evaluation-harness-0-shot.yaml',
    '.eval_results/lm-evaluation-harness-8-shot.yaml',
    'README.md',
    'openllama-loss.svg',
  ])
  assert.match(text, '](openllama-loss.svg)')
  assert.match(text, '| gsm8k | exact_match ↑ | strict-match | 8 | 0.1250 ± 0.0078 |')
  assert.match(JSON.stringify(keys['model-index']), '"name":"tiny-v2","results":[')
  // Somebody's own file is not written over.
  const path = join(folder, '.eval_results', 'lm-evaluation-harness-0-shot.yaml')
  writeFileSync(path, '- mine\n')
  const again = await cardOf(folder, {
    repo: 'me/tiny-v2',
    evals: [fixture('lm-eval', 'new.json')],
  })
  assert.match(again.warnings.join('\n'), 'was not written')
  assert.is(readFileSync(path, 'utf8'), '- mine\n')
})

test.run()
