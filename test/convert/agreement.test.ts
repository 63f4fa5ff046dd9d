import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { headName } from '../../src/architectures/roles.js'
import { metadataLookup } from '../../src/checkpoint/metadata.js'
import { type Conversion, prepareConversion } from '../../src/convert/convert.js'
import type { TargetFile } from '../../src/formats/format.js'
import { parseHeader } from '../../src/formats/gguf/header.js'
import { targetFormats } from '../../src/formats/index.js'
import { parseSentencePiece, writeSentencePiece } from '../../src/tokenizer/sentencepiece.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

/** What is written says the same everywhere: every format, of sources that contradict themselves. */
const test = suite('convert: what is written agrees with itself')

const rows = 512

interface Source {
  /** Fields of config.json, in the place of the fixture's; undefined leaves one out. */
  config?: Record<string, unknown>
  /** Other files beside the weights: a text, or what becomes JSON. */
  files?: Record<string, unknown>
  /** Pieces of the SentencePiece model, of the fixture's 512; 0 is no model. */
  pieces?: number
  /** What the user must be told, in each format. */
  said: RegExp[]
  /** What the written ids must be. */
  bos: number
  eos: number
  stops?: number[]
  tied?: boolean
}

const special = (content: string) => ({ content, special: true, lstrip: false, normalized: false })
const byteLevel = JSON.parse(readFileSync(fixture('tokenizer', 'byte-level.json'), 'utf8'))
const llama3 = (...added: [number, string][]) => ({
  ...byteLevel,
  added_tokens: [
    ...byteLevel.added_tokens,
    ...added.map(([id, content]) => ({
      id,
      ...special(content),
      rstrip: false,
      single_word: false,
    })),
  ],
})

const sources: Record<string, Source> = {
  'nothing wrong': { said: [], bos: 1, eos: 2 },
  'stop tokens and sampling': {
    files: {
      'generation_config.json': {
        bos_token_id: 1,
        eos_token_id: [2, 7],
        do_sample: true,
        top_p: 0.9,
      },
    },
    said: [],
    bos: 1,
    eos: 2,
    stops: [2, 7],
  },
  'an end beyond the rows': {
    config: { eos_token_id: 512, pad_token_id: 600 },
    files: { 'generation_config.json': { eos_token_id: [512, 2], pad_token_id: 600 } },
    said: [/config\.json calls id 512 the EOS/, /generation_config\.json calls \[512,2\] the EOS/],
    bos: 1,
    eos: 2,
  },
  'ids against the tokenizer': {
    config: { bos_token_id: 0, eos_token_id: 1, pad_token_id: -1 },
    files: {
      'tokenizer_config.json': { bos_token: '', eos_token: '', unk_token: '' },
      'generation_config.json': { _from_model_config: true, bos_token_id: 0, eos_token_id: 1 },
    },
    said: [/config\.json calls id 0 .* the BOS/, /config\.json calls id 1 .* the EOS/],
    bos: 1,
    eos: 2,
  },
  'added tokens beyond the rows': {
    files: {
      'added_tokens.json': { '<|im_start|>': 512, '[PAD]': 513 },
      'special_tokens_map.json': { pad_token: '[PAD]' },
    },
    said: [/2 added tokens have no row in the embedding of 512.*"<\|im_start\|>" \(id 512\)/],
    bos: 1,
    eos: 2,
  },
  'added tokens that fill the rows': {
    config: { eos_token_id: 2 },
    files: {
      'added_tokens.json': { '</s>': 2, '<|im_end|>': 510, '<|im_start|>': 511 },
      'special_tokens_map.json': { eos_token: '<|im_end|>' },
    },
    pieces: 510,
    said: [/config\.json calls id 2 .* the EOS/],
    bos: 1,
    eos: 510,
    // That </s> ends a text too is no contradiction.
    stops: [510, 2],
  },
  'a head beside a tied flag': {
    config: { tie_word_embeddings: true, quantization_config: { load_in_4bit: true } },
    said: [/tie_word_embeddings true.*differs from the embedding/, /quantization_config/],
    bos: 1,
    eos: 2,
    tied: false,
  },
  'a tokenizer.json alone, with a list of stops': {
    config: { bos_token_id: 400, eos_token_id: [401, 407], pad_token_id: null },
    files: {
      'tokenizer.json': llama3([407, '<|eot_id|>']),
      'tokenizer_config.json': { bos_token: '<|begin_of_text|>', eos_token: special('<|eot_id|>') },
      'generation_config.json': { bos_token_id: 400, eos_token_id: [401, 407], temperature: 0.6 },
    },
    pieces: 0,
    said: [],
    bos: 400,
    eos: 407,
    stops: [401, 407],
  },
  'a tokenizer.json with a token beyond the rows': {
    config: { bos_token_id: 400, eos_token_id: 401, pad_token_id: 512 },
    files: {
      'tokenizer.json': llama3([512, '[PAD]']),
      'tokenizer_config.json': {
        added_tokens_decoder: { 512: special('[PAD]'), 401: special('<|end_of_text|>') },
        eos_token: '<|end_of_text|>',
        pad_token: '[PAD]',
        model_max_length: 1e30,
      },
      'special_tokens_map.json': { pad_token: special('[PAD]') },
    },
    pieces: 0,
    said: [/1 added token has no row in the embedding of 512 and is left out: "\[PAD\]"/, /PAD/],
    bos: 400,
    eos: 401,
  },
}

const tiny = JSON.parse(readFileSync(fixture('tiny-v2', 'config.json'), 'utf8'))
const model = readFileSync(fixture('tiny-v2', 'easylm', 'tokenizer.model'))

function write({ config, files = {}, pieces = rows }: Source): string {
  const folder = join(tempDir(), 'model')
  mkdirSync(folder)
  const path = join(folder, 'streaming_params')
  symlinkSync(fixture('tiny-v2', 'easylm', 'streaming_params_bf16'), path)
  const all: Record<string, unknown> = { 'config.json': { ...tiny, ...config }, ...files }
  for (const [name, content] of Object.entries(all)) {
    writeFileSync(join(folder, name), JSON.stringify(content))
  }
  if (pieces > 0) {
    const whole = parseSentencePiece(model, 'model')
    const others = whole.fields.filter(({ number }) => number !== 1)
    const own = whole.fields.filter(({ number }) => number === 1)
    // No other piece is made of these, so the rest stays a whole tokenizer.
    const ends = whole.pieces.flatMap(({ text }, id) => {
      const used = whole.pieces.some((piece) => piece.text !== text && piece.text.includes(text))
      return text.length > 1 && id > 300 && !used ? [id] : []
    })
    const gone = ends.slice(0, rows - pieces)
    const kept = own.filter((_, id) => !gone.includes(id))
    const bytes = writeSentencePiece({ ...whole, fields: [...kept, ...others] })
    writeFileSync(join(folder, 'tokenizer.model'), bytes)
  }
  return path
}

function prepare(source: string, to: string): Promise<Conversion> {
  return prepareConversion(source, {
    to,
    dtype: 'auto',
    out: join(tempDir(), 'out'),
    maxMemory: 64e6,
    threads: 1,
    ...(to === 'onnx' ? { onnxTarget: 'genai' as const } : {}),
  })
}

/** A small file of a target, parsed; undefined where there is none. */
function reader(files: readonly TargetFile[]) {
  return (name: string) => {
    const bytes = files.find((file) => file.name === name)?.literals[0]?.bytes
    return bytes && JSON.parse(new TextDecoder().decode(bytes))
  }
}

/** Holds a folder for transformers against itself. */
function agreesFolder(files: readonly TargetFile[], { bos, eos, stops = [eos] }: Source): void {
  const read = reader(files)
  const config = read('config.json')
  const generation = read('generation_config.json')
  assert.is(config.vocab_size, rows)
  assert.is(config.bos_token_id, bos)
  assert.equal([config.eos_token_id].flat().includes(eos), true, 'config.json')
  assert.equal([generation.eos_token_id].flat(), stops, 'generation_config.json')
  assert.ok([bos, undefined].includes(generation.bos_token_id))
  const ids = [config, generation].flatMap((json) => [
    ...[json.eos_token_id].flat(),
    json.bos_token_id ?? 0,
    json.pad_token_id ?? 0,
  ])
  assert.ok(
    ids.every((id) => id >= 0 && id < rows),
    String(ids),
  )
  assert.not.ok('quantization_config' in config)

  const tokenizer = read('tokenizer.json')
  const tokens = new Map<string, number>(Object.entries(tokenizer.model.vocab))
  for (const { content, id } of tokenizer.added_tokens) tokens.set(content, id)
  assert.ok(Math.max(...tokens.values()) < rows, 'tokenizer.json has more tokens than rows')
  const named = read('tokenizer_config.json')
  for (const id of Object.keys(named.added_tokens_decoder ?? {})) assert.ok(Number(id) < rows)
  const idOf = (token: string | { content: string } | undefined) =>
    tokens.get(typeof token === 'object' ? token.content : (token ?? ''))
  for (const json of [named, read('special_tokens_map.json') ?? {}]) {
    for (const role of ['bos', 'eos', 'unk', 'pad']) {
      const token = json[`${role}_token`]
      if (token === undefined) continue
      const id = idOf(token)
      assert.ok(id !== undefined, `${role}_token ${JSON.stringify(token)} is no token`)
      if (role === 'bos') assert.is(id, bos)
      if (role === 'eos') assert.is(id, eos)
      if (role === 'pad') assert.is(id, config.pad_token_id)
    }
  }
  const genai = read('genai_config.json')
  if (genai === undefined) return
  assert.is(genai.model.vocab_size, rows)
  assert.equal(genai.model.eos_token_id, generation.eos_token_id)
  assert.is(genai.model.bos_token_id, bos)
  assert.is(genai.search.do_sample, generation.do_sample ?? false)
  if (generation.do_sample) assert.is(genai.search.top_p, generation.top_p)
}

async function agreesGguf([file]: readonly TargetFile[], { bos, eos }: Source): Promise<void> {
  const bytes = file?.literals[0]?.bytes ?? new Uint8Array()
  const source = { path: 'x.gguf', size: file?.size ?? 0 }
  const header = parseHeader(bytes, source)
  assert.ok(header)
  const metadata = metadataLookup(header.entries)
  const tokens = metadata.get('tokenizer.ggml.tokens')
  assert.is(tokens?.type === 'string[]' && tokens.value.length, rows)
  assert.is(metadata.integer('llama.vocab_size'), rows)
  assert.is(metadata.integer('tokenizer.ggml.bos_token_id'), bos)
  assert.is(metadata.integer('tokenizer.ggml.eos_token_id'), eos)
  assert.ok((metadata.integer('tokenizer.ggml.padding_token_id') ?? 0) < rows)
}

for (const [name, source] of Object.entries(sources)) {
  test(name, async () => {
    const path = write(source)
    for (const to of targetFormats) {
      const { plan, warnings } = await prepare(path, to)
      const { files, tensors } = plan.target
      const told = warnings.join('\n')
      for (const part of source.said) assert.match(told, part, `${to}: ${told}`)
      if (source.said.length === 0) assert.not.match(told, /calls|left out|tie_word/, to)
      if (to === 'gguf') await agreesGguf(files, source)
      else if (to === 'meta') assert.is(reader(files)('params.json').vocab_size, rows)
      else agreesFolder(files, source)
      if (source.tied !== undefined && to !== 'meta' && to !== 'gguf') {
        assert.is(reader(files)('config.json').tie_word_embeddings, source.tied, to)
        assert.ok(tensors.has(headName))
      }
    }
  })
}

test('a generation_config.json in which nothing is wrong is kept to the letter', async () => {
  const text = `{
  "eos_token_id": [
    2,
    7
  ],
  "temperature": 1.0,
  "top_p": 9e-01,
  "seed": 12345678901234567890,
  "bad_words_ids": null
}
`
  const path = write({ said: [], bos: 1, eos: 2 })
  writeFileSync(join(path, '..', 'generation_config.json'), text)
  const { plan } = await prepare(path, 'safetensors')
  const file = plan.target.files.find((each) => each.name === 'generation_config.json')
  assert.is(new TextDecoder().decode(file?.literals[0]?.bytes), text)
})

test('numbers of config.json keep their spelling, and fields that are not known their values', async () => {
  const path = write({ said: [], bos: 1, eos: 2 })
  const config = readFileSync(fixture('tiny-v2', 'config.json'), 'utf8')
    .replace(
      /"rope_parameters": \{[^}]*\}/,
      '"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 4.0}',
    )
    .replace(
      '"use_cache": true',
      '"use_cache": true, "own": {"big": 12345678901234567890, "e": 1E+2}',
    )
  writeFileSync(join(path, '..', 'config.json'), config)
  const { plan } = await prepare(path, 'safetensors')
  const file = plan.target.files.find((each) => each.name === 'config.json')
  const written = new TextDecoder().decode(file?.literals[0]?.bytes)
  for (const spelled of [
    '"factor": 4.0',
    '"rope_theta": 10000.0',
    '"rms_norm_eps": 1e-06',
    '"attention_dropout": 0.0',
    '"big": 12345678901234567890',
    '"e": 1E+2',
  ]) {
    assert.ok(written.includes(spelled), `${spelled} is not in ${written}`)
  }
})

test.run()
