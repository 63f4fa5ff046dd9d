import { readFileSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { gguf as readWithHub } from '@huggingface/gguf'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listFile } from '../../../src/formats/hf/safetensors.js'
import { openFile } from '../../../src/io/source.js'
import { openCheckpoint } from '../../../src/open/open.js'
import { equalBytes, equalElements, sha256 } from '../../support/bytes.js'
import { convert, written } from '../../support/convert.js'
import { fails } from '../../support/errors.js'
import { f16Bits, f16Value } from '../../support/floats.js'
import {
  f32,
  type GgmlFloat,
  modelEntries,
  modelTensors,
  type RawEntry,
  type RawFile,
  rawGguf,
  text,
  texts,
  u16,
  u32,
  valueTypes,
} from '../../support/gguf.js'
import { type Model, small } from '../../support/llama.js'
import { fixture, shared } from '../../support/paths.js'
import { bytesOfArray, decode, expectedTensors, hashOfF32 } from '../../support/sources.js'
import { tempDir } from '../../support/temp.js'

const test = suite('formats: GGUF')

const temp = tempDir()
let made = 0
const place = (name = 'out') => join(temp, String(made++), name)
const file = async (contents: RawFile, name = 'model.gguf') => {
  const path = place(name)
  await mkdir(dirname(path), { recursive: true })
  writeFileSync(path, rawGguf(contents))
  return path
}
const modelFile = (changes: Partial<RawFile> = {}, model: Model = small, type: GgmlFloat = 'f32') =>
  file({
    entries: modelEntries(model),
    tensors: modelTensors(model, type, changes.bigEndian),
    ...changes,
  })

const models = ['tiny-v1', 'tiny-v2'] as const
const types = ['f32', 'f16', 'bf16'] as const

/** SHA-256 of what llama.cpp's converter wrote from hf-bf16. */
const goldens: Record<string, Record<string, string>> = JSON.parse(
  readFileSync(fixture('gguf', 'files.json'), 'utf8'),
)

/** The fixture, converted from EasyLM's stream. */
async function fixtureAs(model: string, dtype: (typeof types)[number]): Promise<string> {
  const out = place('model.gguf')
  await mkdir(dirname(out), { recursive: true })
  await convert(fixture(model, 'easylm', 'streaming_params_bf16'), out, {
    to: 'gguf',
    dtype,
    name: 'Hf Bf16',
    config: fixture(model, 'config.json'),
  })
  return out
}

for (const model of models) {
  for (const dtype of types) {
    test(`${model} from EasyLM as ${dtype}: llama.cpp's own file, byte for byte`, async () => {
      assert.is(sha256(written(await fixtureAs(model, dtype))), goldens[model]?.[dtype])
    })
  }

  test(`${model}: back to safetensors, what torch has`, async () => {
    for (const dtype of types) {
      const out = place()
      await convert(await fixtureAs(model, dtype), out, { to: 'safetensors' })
      const bytes = written(out, 'model.safetensors')
      const source = await openFile(join(out, 'model.safetensors'))
      const arrays = await listFile(source)
      await source.close()
      const original = dtype === 'f16' ? await originals(model) : undefined
      const expected = expectedTensors(model)
      assert.is(arrays.length, expected.size)
      for (const array of arrays) {
        const values = decode(bytesOfArray(array, bytes), array.dtype)
        const unrounded = original?.get(array.name)
        // f16 has not bf16's smallest values: those are compared with the rounded ones.
        const wanted =
          unrounded && array.dtype === 'f16'
            ? hashOfF32(unrounded.map((value) => f16Value(f16Bits(value))))
            : expected.get(array.name)?.sha256_f32
        assert.is(hashOfF32(values), wanted, `${dtype} ${array.name}`)
      }
    }
  })

  test(`${model}: to safetensors and back gives the same file`, async () => {
    const first = await fixtureAs(model, 'bf16')
    const middle = place('hf')
    await convert(first, middle, { to: 'safetensors', dtype: 'bf16' })
    assert.equal((await readdir(middle)).sort(), [
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'openllama.json',
      'special_tokens_map.json',
      'tokenizer.json',
      'tokenizer.model',
      'tokenizer_config.json',
    ])
    const last = place('last.gguf')
    await mkdir(dirname(last), { recursive: true })
    await convert(middle, last, { to: 'gguf', name: 'Hf Bf16' })
    assert.equal(await dataOf(last), await dataOf(first))
  })
}

async function originals(model: string): Promise<Map<string, Float32Array>> {
  const out = place()
  await convert(fixture(model, 'easylm', 'streaming_params_bf16'), out, {
    to: 'safetensors',
    dtype: 'f32',
    config: fixture(model, 'config.json'),
  })
  const bytes = written(out, 'model.safetensors')
  const source = await openFile(join(out, 'model.safetensors'))
  const arrays = await listFile(source)
  await source.close()
  return new Map(arrays.map((array) => [array.name, decode(bytesOfArray(array, bytes), 'f32')]))
}

/** What Hugging Face's reader finds: names, types, shapes, and hashes of the bytes. */
async function dataOf(path: string): Promise<Record<string, unknown>> {
  const { tensorInfos, tensorDataOffset } = await readWithHub(path, { allowLocalFile: true })
  const bytes = written(path)
  const begins = tensorInfos.map(({ offset }) => Number(tensorDataOffset + offset))
  return Object.fromEntries(
    tensorInfos.map(({ name, dtype, shape }, i) => {
      const count = shape.reduce((product, size) => product * Number(size), 1)
      const begin = begins[i] ?? 0
      const length = count * (dtype === 0 ? 4 : 2)
      return [name, { dtype, shape, sha256: sha256(bytes.subarray(begin, begin + length)) }]
    }),
  )
}

async function metadataOf(path: string): Promise<Record<string, unknown>> {
  const { metadata } = await readWithHub(path, { allowLocalFile: true })
  return Object.fromEntries(Object.entries(metadata))
}

for (const model of models) {
  const folder = shared('llama.cpp’s files from hf-bf16 and meta', 'fixtures', model)
  if (folder === undefined) continue
  for (const dtype of types) {
    test(`${model} as ${dtype} from hf-bf16 and meta: metadata and tensors of llama.cpp's`, async () => {
      const peer = join(folder, 'gguf', `${dtype}.gguf`)
      for (const source of ['hf-bf16', 'meta']) {
        const out = place('named-otherwise.gguf')
        await mkdir(dirname(out), { recursive: true })
        const config = join(folder, 'hf-bf16', 'config.json')
        await convert(join(folder, source), out, { to: 'gguf', dtype, name: 'Another', config })
        assert.equal(await metadataOf(out), {
          ...(await metadataOf(peer)),
          'general.name': 'Another',
        })
        assert.equal(await dataOf(out), await dataOf(peer))
      }
    })
  }

  test(`${model} from hf-bf16, without a word of ours: the same file, name and all`, async () => {
    const out = place()
    await convert(join(folder, 'hf-bf16'), out, { to: 'gguf' })
    equalBytes(written(out, 'hf-bf16-bf16.gguf'), written(folder, 'gguf', 'bf16.gguf'), 'bf16')
  })

  test(`${model}: quantized files are listed, and kept as they are`, async () => {
    for (const name of ['q8_0', 'Q4_0', 'Q4_K_M', 'Q5_K_M', 'Q6_K']) {
      const peer = join(folder, 'gguf', `${name}.gguf`)
      const checkpoint = await openCheckpoint(peer)
      const { tensorInfos } = await readWithHub(peer, { allowLocalFile: true })
      assert.is(checkpoint.tensors.size, tensorInfos.length)
      const out = place('copy.gguf')
      await mkdir(dirname(out), { recursive: true })
      await convert(peer, out, { to: 'gguf' })
      const copy = await openCheckpoint(out)
      for (const [tensor, { dtype, parts }] of checkpoint.tensors) {
        const other = copy.tensors.get(tensor)
        assert.is(other?.dtype, dtype, tensor)
        const [a, b] = [parts[0]?.extents[0], other?.parts[0]?.extents[0]]
        if (a === undefined || b === undefined) throw new Error('no extents')
        const slice = ({ path, offset, length }: typeof a) =>
          written(path).subarray(offset, offset + length)
        equalBytes(slice(b), slice(a), `${name} ${tensor}`)
      }
      assert.equal(await metadataOf(out), await metadataOf(peer))
    }
  })
}

test('big-endian and version 2 files, of every float type, as the little-endian ones', async () => {
  for (const type of ['f32', 'f16', 'bf16', 'f64'] as const) {
    const outputs: Uint8Array[] = []
    for (const bigEndian of [false, true]) {
      for (const version of [2, 3]) {
        const out = place()
        await convert(await modelFile({ version, bigEndian }, small, type), out, {
          to: 'safetensors',
          dtype: 'f32',
        })
        outputs.push(written(out, 'model.safetensors'))
      }
    }
    const [first = new Uint8Array(), ...others] = outputs
    for (const other of others) equalBytes(other, first, type)
  }
})

test('a big-endian file of a quantized type is refused by its name', async () => {
  const [first, ...others] = modelTensors({ ...small, hidden: 64 }, 'f32', true)
  if (first === undefined) throw new Error('no tensors')
  const quantized = { ...first, type: 8, data: new Uint8Array((small.vocab * 64 * 34) / 32) }
  const path = await modelFile({ bigEndian: true, tensors: [quantized, ...others] })
  await fails(() => openCheckpoint(path), 'input', 'token_embd.weight', 'q8_0', 'big-endian')
})

test('heads and key-value heads are not mistaken for each other', async () => {
  const out = place()
  await convert(await modelFile(), out, { to: 'safetensors' })
  const back = place('back.gguf')
  await mkdir(dirname(back), { recursive: true })
  await convert(out, back, { to: 'gguf' })
  assert.equal(await dataOf(back), await dataOf(await modelFile()))
  const { config } = await openCheckpoint(out)
  assert.is(config.num_attention_heads, 8)
  assert.is(config.num_key_value_heads, 2)
})

test('the configuration is that of the metadata', async () => {
  const path = await modelFile({
    entries: [
      ...modelEntries(small),
      f32('llama.rope.freq_base', 500000),
      text('llama.rope.scaling.type', 'yarn'),
      f32('llama.rope.scaling.factor', 4.1),
      u32('llama.rope.scaling.original_context_length', 32),
      f32('llama.rope.scaling.yarn_beta_fast', 32),
      u32('tokenizer.ggml.bos_token_id', 5),
      u32('tokenizer.ggml.eos_token_id', 6),
      u32('tokenizer.ggml.padding_token_id', 0xffffffff),
    ],
  })
  const { config, notes } = await openCheckpoint(path)
  assert.is(config.max_position_embeddings, 128)
  assert.is(config.rms_norm_eps, 1e-5)
  assert.is(config.rope_theta, 500000)
  assert.is(config.head_dim, small.headDim)
  assert.equal(config.rope_scaling, {
    rope_type: 'yarn',
    factor: 4.1,
    original_max_position_embeddings: 32,
    beta_fast: 32,
  })
  assert.is(config.bos_token_id, 5)
  assert.is(config.eos_token_id, 6)
  assert.is(config.pad_token_id, null)
  assert.equal(notes, [])
  const out = place('again.gguf')
  await mkdir(dirname(out), { recursive: true })
  await convert(path, out, { to: 'gguf' })
  const again = await openCheckpoint(out)
  assert.equal(again.config, config)
})

test('tied embeddings: no output head in the file, and none written', async () => {
  const tied = { ...small, tied: true }
  const path = await modelFile({}, tied)
  const { config, notes } = await openCheckpoint(path)
  assert.is(config.tie_word_embeddings, true)
  assert.equal(notes, [])
  const out = place()
  await convert(path, out, { to: 'safetensors' })
  const back = place('back.gguf')
  await mkdir(dirname(back), { recursive: true })
  await convert(out, back, { to: 'gguf' })
  assert.equal(await dataOf(back), await dataOf(path))
})

const refusals: [string, RawEntry[], ...string[]][] = [
  ['another architecture', [text('general.architecture', 'gemma2')], '"gemma2"'],
  ['experts', [u32('llama.expert_count', 8)], '8 experts'],
  ['values of another length', [u32('llama.attention.value_length', 6)], 'value_length', '6', '4'],
  ['heads rotated in part', [u32('llama.rope.dimension_count', 2)], 'dimension_count', '2', '4'],
  [
    'layers that differ',
    [
      {
        key: 'llama.attention.head_count_kv',
        type: valueTypes.array,
        value: (w) => w.u32(valueTypes.uint32).u64(2).u32(2).u32(4),
      },
    ],
    'head_count_kv',
    'uint32[]',
  ],
  ['a scaling unknown to it', [text('llama.rope.scaling.type', 'mrope')], '"mrope"'],
  ['a hidden size of another model', [u32('llama.embedding_length', 64)], '64', '40'],
]

for (const [what, entries, ...parts] of refusals) {
  test(`refused: ${what}`, async () => {
    const keys = new Set(entries.map(({ key }) => key))
    const others = modelEntries(small).filter(({ key }) => !keys.has(key))
    const path = await modelFile({ entries: [...others, ...entries] })
    await fails(() => openCheckpoint(path), 'input', ...parts)
  })
}

test('a file without an architecture is refused', async () => {
  await fails(
    async () => openCheckpoint(await modelFile({ entries: [text('general.name', 'x')] })),
    'input',
    'general.architecture',
  )
})

const ropes: { rope_theta: number; head_dim: number; rope_scaling: object; bits: number[] }[] =
  JSON.parse(readFileSync(fixture('gguf', 'rope.json'), 'utf8'))

test('LLaMA 3’s rotary scaling: torch’s factors, and read back', async () => {
  for (const { rope_theta, head_dim, rope_scaling, bits } of ropes) {
    const model = { ...small, heads: 2, kvHeads: 1, headDim: head_dim }
    const hf = place('hf')
    await convert(await modelFile({}, model), hf, { to: 'safetensors' })
    const json = JSON.parse(readFileSync(join(hf, 'config.json'), 'utf8'))
    writeFileSync(join(hf, 'config.json'), JSON.stringify({ ...json, rope_theta, rope_scaling }))
    const out = place('scaled.gguf')
    await mkdir(dirname(out), { recursive: true })
    await convert(hf, out, { to: 'gguf' })
    const { tensorInfos, tensorDataOffset } = await readWithHub(out, { allowLocalFile: true })
    assert.is(tensorInfos[0]?.name, 'rope_freqs.weight')
    const begin = Number(tensorDataOffset)
    const view = new DataView(Uint8Array.from(written(out)).buffer, begin)
    equalElements(
      bits.map((_, i) => view.getInt32(4 * i, true)),
      bits,
      'factors',
    )
    assert.is(bits.length, head_dim / 2)
    const { config, notes } = await openCheckpoint(out)
    assert.equal(config.rope_scaling, rope_scaling)
    assert.ok(notes.some((note) => note.includes('rope_freqs.weight')))
  }
})

test('split: written in order, read from any part or the folder, refused with a part missing', async () => {
  const whole = await modelFile()
  const folder = place('split')
  await convert(whole, folder, { to: 'gguf', maxShardSize: 20_000, name: 'My Model' })
  const names = (await readdir(folder)).filter((name) => name.endsWith('.gguf')).sort()
  assert.ok(names.length > 2, String(names))
  names.forEach((name, i) => {
    const digits = (n: number) => String(n).padStart(5, '0')
    assert.is(name, `My-Model-f32-${digits(i + 1)}-of-${digits(names.length)}.gguf`)
  })
  const tensors = new Map<string, unknown>()
  for (const [i, name] of names.entries()) {
    const metadata = await metadataOf(join(folder, name))
    assert.is(metadata['split.no'], i)
    assert.is(metadata['split.count'], names.length)
    assert.is(metadata['split.tensors.count'], 21)
    assert.is('general.architecture' in metadata, i === 0)
    for (const [key, value] of Object.entries(await dataOf(join(folder, name)))) {
      tensors.set(key, value)
    }
  }
  assert.equal(Object.fromEntries(tensors), await dataOf(whole))
  const opened = await openCheckpoint(folder)
  assert.is(opened.files.length, names.length)
  for (const name of names) {
    const { tensors } = await openCheckpoint(join(folder, name))
    assert.equal([...tensors.keys()], [...opened.tensors.keys()])
  }
  const joined = place('joined.gguf')
  await mkdir(dirname(joined), { recursive: true })
  await convert(join(folder, names[1] ?? ''), joined, { to: 'gguf' })
  assert.equal(await dataOf(joined), await dataOf(whole))

  const [first = '', second = ''] = names
  await rename(join(folder, first), join(folder, 'alone.gguf'))
  await fails(() => openCheckpoint(join(folder, second)), 'input', first)
  await fails(() => openCheckpoint(join(folder, 'alone.gguf')), 'input', '-00001-of-')
  await rename(join(folder, 'alone.gguf'), join(folder, first))
  await rename(join(folder, second), join(folder, 'kept'))
  writeFileSync(join(folder, second), written(folder, names[2] ?? ''))
  await fails(() => openCheckpoint(folder), 'input', 'part 3', 'part 2')
})

test('split files whose count of tensors is wrong', async () => {
  const [first, ...others] = modelTensors(small, 'f32')
  if (first === undefined) throw new Error('no tensors')
  const folder = place('split')
  await mkdir(folder, { recursive: true })
  const part = (no: number, tensors: typeof others, entries: RawEntry[]) =>
    writeFileSync(
      join(folder, `m-0000${no + 1}-of-00002.gguf`),
      rawGguf({
        entries: [
          ...entries,
          u16('split.no', no),
          u16('split.count', 2),
          u32('split.tensors.count', 99),
        ],
        tensors,
      }),
    )
  part(0, [first], modelEntries(small))
  part(1, others, [])
  await fails(() => openCheckpoint(folder), 'input', 99, 21)
})

test('one file or a folder: what --out says', async () => {
  const source = await modelFile({}, small, 'f16')
  const folder = place('folder')
  const inFolder = await convert(source, folder, { to: 'gguf', name: 'a/b c' })
  assert.equal(await readdir(folder), ['a-b-c-f16.gguf', 'openllama.json'])
  const single = place('single.gguf')
  await mkdir(dirname(single), { recursive: true })
  const alone = await convert(source, single, { to: 'gguf', name: 'a/b c' })
  assert.equal((await readdir(dirname(single))).sort(), [
    'single.gguf',
    'single.gguf.openllama.json',
  ])
  equalBytes(written(single), written(folder, 'a-b-c-f16.gguf'), 'the file')
  assert.equal(alone.tensors, inFolder.tensors)
  const record = JSON.parse(readFileSync(`${single}.openllama.json`, 'utf8'))
  assert.is(record.target.files[0].sha256, sha256(written(single)))

  await fails(() => convert(source, single, { to: 'gguf' }), 'usage', 'exists', '`force`')
  const directory = place('directory.gguf')
  await mkdir(directory, { recursive: true })
  await fails(() => convert(source, directory, { to: 'gguf' }), 'usage', directory)
  const many = place('many.gguf')
  await fails(
    () => convert(source, many, { to: 'gguf', maxShardSize: 1000 }),
    'usage',
    '`maxShardSize`',
  )
})

test('name, card, folder, and --metadata', async () => {
  const source = await modelFile()
  const hf = place('Tiny-Llama-1k-chat-v1.0')
  await convert(source, hf, { to: 'safetensors' })
  const first = place('first.gguf')
  await mkdir(dirname(first), { recursive: true })
  await convert(hf, first, { to: 'gguf' })
  const plain = await metadataOf(first)
  assert.is(plain['general.name'], 'Tiny Llama 1k Chat v1.0')
  assert.is(plain['general.basename'], 'Tiny-Llama')
  assert.is(plain['general.version'], 'v1.0')
  assert.is(plain['tokenizer.ggml.model'], 'no_vocab')

  writeFileSync(
    join(hf, 'README.md'),
    `---
license: apache-2.0
language: [en, "no"]
datasets:
- togethercomputer/RedPajama-Data-1T
- https://example.com/data
model_name: Tiny Llama # by us
base_model: openlm-research/open_llama_3b
tags:
  - llama
pipeline_tag: text-generation
repo_url: https://example.com/repo
model-index:
- name: x
  results: []
---
# Tiny
`,
  )
  const second = place('second.gguf')
  await mkdir(dirname(second), { recursive: true })
  await convert(hf, second, {
    to: 'gguf',
    metadata: [
      'general.license=mit',
      'llama.context_length=64',
      'my.flag=true',
      'my.count:uint64=12',
      'general.author=us',
    ],
  })
  const told = await metadataOf(second)
  const expected: Record<string, unknown> = {
    'general.name': 'Tiny Llama',
    'general.license': 'mit',
    'general.languages': ['en', 'no'],
    'general.tags': ['llama', 'text-generation'],
    'general.dataset.count': 2,
    'general.dataset.0.name': 'RedPajama Data 1T',
    'general.dataset.0.organization': 'Togethercomputer',
    'general.dataset.0.repo_url': 'https://huggingface.co/togethercomputer/RedPajama-Data-1T',
    'general.dataset.1.repo_url': 'https://example.com/data',
    'general.base_model.count': 1,
    'general.base_model.0.name': 'Open_Llama_3B',
    'general.base_model.0.organization': 'Openlm Research',
    'general.base_model.0.repo_url': 'https://huggingface.co/openlm-research/open_llama_3b',
    'general.source.repo_url': 'https://example.com/repo',
    'general.author': 'us',
    'llama.context_length': 64,
    'my.flag': true,
    'my.count': 12n,
  }
  for (const [key, value] of Object.entries(expected)) assert.equal(told[key], value, key)

  for (const [change, part] of [
    ['general.alignment=64', 'general.alignment'],
    ['split.count=3', 'split.count'],
    ['nonsense', 'nonsense'],
    ['a:nothing=1', '"nothing"'],
    ['llama.context_length=many', 'llama.context_length'],
  ] as const) {
    await fails(() => convert(hf, place(), { to: 'gguf', metadata: [change] }), 'usage', part)
  }
  await fails(() => convert(source, place(), { to: 'safetensors', metadata: ['a=b'] }), 'usage')
})

test('a GGUF keeps what it says of itself, and its vocabulary, in another type', async () => {
  const tokens = Array.from({ length: small.vocab }, (_, i) => `t${i}`)
  const path = await modelFile({
    entries: [
      ...modelEntries(small),
      text('general.name', 'Kept'),
      text('general.author', 'them'),
      u32('general.file_type', 0),
      text('tokenizer.ggml.model', 'gpt2'),
      texts('tokenizer.ggml.tokens', tokens),
      texts('tokenizer.ggml.merges', ['t 1']),
      text('custom.key', 'kept'),
      text('tokenizer.chat_template', '{{ x }}'),
    ],
  })
  const out = place()
  await convert(path, out, { to: 'gguf', dtype: 'f16' })
  const metadata = await metadataOf(join(out, 'Kept-f16.gguf'))
  assert.is(metadata['general.author'], 'them')
  assert.is(metadata['general.file_type'], 1)
  assert.is(metadata['custom.key'], 'kept')
  assert.is(metadata['tokenizer.chat_template'], '{{ x }}')
  assert.equal(metadata['tokenizer.ggml.tokens'], tokens)
  assert.equal(metadata['tokenizer.ggml.merges'], ['t 1'])
})

test('a directory of several GGUFs: named, and none is picked', async () => {
  const path = await modelFile()
  writeFileSync(join(dirname(path), 'other.gguf'), written(path))
  await fails(() => openCheckpoint(dirname(path)), 'input', basename(path), 'other.gguf')
  await rm(join(dirname(path), 'other.gguf'))
  assert.is((await openCheckpoint(dirname(path))).format, 'gguf')
})

test('values that are not finite are found in big-endian files, too', async () => {
  const tensors = modelTensors(small, 'f16', true)
  const [first] = tensors
  if (first === undefined) throw new Error('no tensors')
  const data = Uint8Array.from(first.data)
  data.set([0x7e, 0x00], 14)
  first.data = data
  const path = await modelFile({ bigEndian: true, tensors })
  await fails(
    () => convert(path, place(), { to: 'safetensors' }),
    'input',
    'token_embd.weight',
    '1 NaN',
  )
})

test.run()
