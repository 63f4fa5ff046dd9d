import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { editFrontMatter, readFrontMatter, splitCard } from '../../src/card/front-matter.js'
import { parseLoss } from '../../src/card/loss.js'
import { ownRecord } from '../../src/card/records.js'
import { parseEvalRun } from '../../src/card/results/lm-eval.js'
import { cardFaults } from '../../src/card/validate.js'
import { readJournal } from '../../src/convert/journal.js'
import { readRecords } from '../../src/hub/push/record.js'
import { listRepository } from '../../src/hub/repository.js'
import { OpenLlamaError } from '../../src/io/errors.js'
import { formatExactJson, parseExactJson } from '../../src/io/exact-json.js'
import { parseFrontMatter } from '../../src/io/front-matter.js'
import { parseJsonObject } from '../../src/io/json.js'
import { parseLegacyImatrix } from '../../src/quantize/imatrix.js'
import { bpeVocab } from '../../src/tokenizer/bpe-vocab.js'
import { tokenizerJsonEngine } from '../../src/tokenizer/engine.js'
import { tokenizerFacts } from '../../src/tokenizer/generation.js'
import { ggufVocab } from '../../src/tokenizer/gguf-vocab.js'
import { tokenizerJsonLimits } from '../../src/tokenizer/json-limits.js'
import { mergesSpacesByRecord } from '../../src/tokenizer/record.js'
import { parseSentencePiece, writeSentencePiece } from '../../src/tokenizer/sentencepiece.js'
import { sentencePieceFromJson } from '../../src/tokenizer/sentencepiece-from-json.js'
import { filesFromTiktoken } from '../../src/tokenizer/tiktoken.js'
import { resolveTokenizer } from '../../src/tokenizer/tokenizer-config.js'
import { tokenizerFiles } from '../../src/tokenizer/tokenizer-files.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'
import { bytesMutator } from './mutate.js'
import { jsonMutator } from './mutate-json.js'
import { type Target, textOf } from './target.js'

// What lies beside weights, and what servers say.

const record = {
  tool: { name: 'openllama', version: '0.1.0' },
  source: { format: 'safetensors', files: [{ name: 'a', bytes: 1, sha256: null }] },
  target: { format: 'gguf', files: [{ name: 'm.gguf', bytes: 8, sha256: 'a'.repeat(64) }] },
  options: { dtype: 'q4_0', name: null },
  tensors: 1,
  parameters: 1,
  tokenizer: { generation: 'meta', pieces: 3, remove_extra_whitespaces: false },
  casts: [{ from: 'f16', to: 'q4_0', tensors: 1, parameters: 1 }],
  quantization: { bits_per_weight: 4.5, fallbacks: [{ tensor: 'a', wanted: 'q4_0', got: 'f16', reason: 'b' }] }, // biome-ignore format: one line
  notes: ['a'],
  check: {
    verdict: 'passed',
    engine: 'llama.cpp',
    device: 'cpu',
    smoke: { prompt: 'a', continuation: 'b', tokens: 1, faults: [] },
    parity: { positions: 1, metrics: [{ name: 'kld_mean', value: 0, limit: 1, passed: true }], greedy: { common: 1, of: 1 }, departure: null, notes: [] }, // biome-ignore format: one line
  },
  values: {},
}

const card = `---
license: apache-2.0
language: [en]
tags:
  - llama
  - text-generation # a comment
datasets: &d
  - a/b
base_model: *d
model-index:
  - name: m
    results:
      - task: { type: text-generation }
        dataset: { name: x, type: y }
        metrics: [{ type: acc, value: 0.5 }]
---
# A model
text
`

/** Reads a file as commands do, from a folder on this machine. */
function inFolder(
  name: string,
  read: (folder: string) => Promise<unknown>,
  write = (bytes: Uint8Array): Uint8Array | string => bytes,
) {
  let folder: string | undefined
  return async (bytes: Uint8Array) => {
    folder ??= tempDir()
    await writeFile(join(folder, name), write(bytes))
    return read(folder)
  }
}

/** A journal's lines, whose checksums no mutation would meet. */
function withSums(bytes: Uint8Array): Uint8Array | string {
  let lines: unknown
  try {
    lines = JSON.parse(textOf(bytes))
  } catch {
    return bytes
  }
  if (!Array.isArray(lines)) return bytes
  return lines
    .map((line: unknown) => {
      if (typeof line !== 'object' || line === null) return JSON.stringify(line)
      return JSON.stringify({ crc32: crc32(JSON.stringify(line)), ...line })
    })
    .map((line) => `${line}\n`)
    .join('')
}

/** Each of them, whatever those before say. */
async function each(...readers: (() => unknown)[]): Promise<void> {
  let failure: unknown
  for (const read of readers) {
    try {
      await read()
    } catch (error) {
      if (!(error instanceof OpenLlamaError)) throw error
      failure ??= error
    }
  }
  if (failure !== undefined) throw failure
}

const smallTokenizer = {
  version: '1.0',
  added_tokens: [{ id: 5, content: '<s>', special: true, lstrip: false, rstrip: false, normalized: false, single_word: false }], // biome-ignore format: one line
  normalizer: null,
  pre_tokenizer: {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
  },
  post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }], pair: [], special_tokens: { '<s>': { id: '<s>', ids: [5], tokens: ['<s>'] } } }, // biome-ignore format: one line
  decoder: { type: 'ByteLevel' },
  model: { type: 'BPE', vocab: { a: 0, b: 1, c: 2, ab: 3, abc: 4 }, merges: [['a', 'b'], 'ab c'] }, // biome-ignore format: one line
}

/** LLaMA's own, with two dozen of its tokens. */
function byteLevel(): string {
  const whole = JSON.parse(readFileSync(fixture('tokenizer', 'byte-level.json'), 'utf8'))
  return JSON.stringify({ ...smallTokenizer, ...whole, model: { ...whole.model, ...smallTokenizer.model }, added_tokens: smallTokenizer.added_tokens }) // biome-ignore format: one line
}

const sentencePieceJson = {
  version: '1.0',
  added_tokens: [0, 1, 2].map((id) => ({
    id,
    content: ['<unk>', '<s>', '</s>'][id],
    special: true,
  })),
  normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] }, // biome-ignore format: one line
  model: { type: 'BPE', unk_token: '<unk>', byte_fallback: true, fuse_unk: true, vocab: { '<unk>': 0, '<s>': 1, '</s>': 2, '<0x0A>': 3, ab: 4, '▁ab': 5, '▁': 6, a: 7, b: 8 }, merges: ['a b', ['▁', 'ab']] }, // biome-ignore format: one line
}

const listing = [
  { type: 'file', path: 'config.json', size: 3, oid: 'a'.repeat(40) },
  { type: 'file', path: 'model.safetensors', size: 130, oid: 'b'.repeat(40), lfs: { oid: 'c'.repeat(64), size: 5000, pointerSize: 130 } }, // biome-ignore format: one line
  { type: 'directory', path: 'onnx', size: 0, oid: 'd'.repeat(40) },
]

export const besideTargets: Target[] = [
  {
    name: 'sentencepiece',
    seeds: () =>
      ['bpe-unknown', 'unigram'].map((name) => readFileSync(fixture('tokenizer', `${name}.model`))),
    mutate: bytesMutator(['<unk>', '<s>', '</s>', '▁', '<0x0A>', 'nmt_nfkc', 'identity']),
    run(bytes) {
      const model = parseSentencePiece(bytes, 'tokenizer.model')
      writeSentencePiece(model)
      tokenizerFacts(model)
      return each(
        () => tokenizerFiles(model, 'tokenizer.model', { sources: [] }),
        () => ggufVocab(model, 'tokenizer.model'),
      )
    },
  },
  {
    name: 'tokenizer-json',
    seeds: () => [JSON.stringify(smallTokenizer), byteLevel()],
    mutate: jsonMutator([
      ...['BPE', 'ByteLevel', 'Sequence', 'Split', 'TemplateProcessing', 'Metaspace', 'Prepend'],
      ...['added_tokens', 'vocab', 'merges', 'single', 'special_tokens', 'ids', 'pattern', 'Regex'],
      ...['type', 'model', 'id', 'content', 'a b', '<|begin_of_text|>', 'Ġ', '▁', 'Unigram'],
    ]),
    async run(bytes) {
      const json = parseJsonObject(bytes, 'tokenizer.json')
      return each(
        () => bpeVocab(json, 'tokenizer.json'),
        () => tokenizerJsonLimits('tokenizer.json', json, undefined),
        async () => {
          const engine = await tokenizerJsonEngine(JSON.stringify(json), 'tokenizer.json', 't')
          engine.decode(engine.encode('<s>abc ab\n'))
        },
      )
    },
  },
  {
    name: 'tokenizer-json-sentencepiece',
    seeds: () => [JSON.stringify(sentencePieceJson)],
    mutate: jsonMutator(['▁', '▁a', '<0x0A>', 'a b', 'vocab', 'merges', 'id', 'content', 'unk_token', 'byte_fallback', '<unk>']), // biome-ignore format: one line
    run(bytes) {
      const json = parseJsonObject(bytes, 'tokenizer.json')
      const sources = [{ name: 'tokenizer.json', json }]
      const model = sentencePieceFromJson(json, 'tokenizer.json', sources)
      writeSentencePiece(model)
      tokenizerFiles(model, 'tokenizer.json', { sources })
      return ggufVocab(model, 'tokenizer.json')
    },
  },
  {
    name: 'exact-json',
    seeds: () => ['{"a":[1.50,-0,1e5,"\\u00e9",true,null],"b":{"c":12345678901234567890}}'],
    mutate: jsonMutator(['1.0', '1e400', '-0']),
    run(bytes) {
      parseJsonObject(bytes, 'a.json')
      const exact = parseExactJson(textOf(bytes))
      return parseExactJson(formatExactJson(exact))
    },
  },
  {
    name: 'tokenizer-config',
    seeds: () => [
      JSON.stringify({ bos_token: '<s>', eos_token: { content: '</s>' }, unk_token: '<unk>', add_bos_token: true, add_eos_token: false, chat_template: [{ name: 'default', template: '{{ a }}' }], model_max_length: 1e30, added_tokens_decoder: { 0: { content: '<unk>', special: true } } }), // biome-ignore format: one line
      '{"<pad>":100}',
    ],
    mutate: jsonMutator(['bos_token', 'eos_token', 'pad_token', 'content', 'chat_template', 'added_tokens_decoder', 'special', 'lstrip', 'added_tokens', 'legacy']), // biome-ignore format: one line
    run(bytes) {
      const json = parseJsonObject(bytes, 'tokenizer_config.json')
      const model = parseSentencePiece(readFileSync(fixture('tokenizer', 'bpe-unknown.model')), 'm')
      return each(
        ...[
          'tokenizer_config.json',
          'special_tokens_map.json',
          'added_tokens.json',
          'tokenizer.json',
          'config.json',
        ].flatMap((name) => [
          // biome-ignore format: one line
          () => tokenizerFiles(model, 'tokenizer.model', { sources: [{ name, json }] }),
          () => resolveTokenizer(model, { sources: [{ name, json }] }),
        ]),
      )
    },
  },
  {
    name: 'tiktoken',
    seeds: () => [readFileSync(fixture('kinds', 'tiktoken', 'tokenizer.model'))],
    mutate: bytesMutator(['IQ== 0\n', '== ', '\r\n', '352']),
    run: (bytes) => filesFromTiktoken(bytes, 'tokenizer.model'),
  },
  {
    name: 'imatrix',
    seeds: () => {
      const bytes = Buffer.alloc(64)
      bytes.writeInt32LE(1, 0)
      bytes.writeInt32LE(5, 4)
      bytes.write('blk.0', 8)
      bytes.writeInt32LE(3, 13)
      bytes.writeInt32LE(2, 17)
      bytes.writeFloatLE(1.5, 21)
      bytes.writeFloatLE(2.5, 25)
      bytes.writeInt32LE(7, 29)
      bytes.writeInt32LE(3, 33)
      bytes.write('txt', 37)
      return [bytes.subarray(0, 40)]
    },
    mutate: bytesMutator(['blk.0.ffn_down.weight']),
    run: (bytes) => parseLegacyImatrix(bytes, 'imatrix.dat'),
  },
  {
    name: 'record',
    seeds: () => [JSON.stringify(record)],
    mutate: jsonMutator(Object.keys(record)),
    run: inFolder('openllama.json', (folder) =>
      each(
        () => ownRecord(folder, ['m.gguf']),
        () => readRecords([], folder),
        () => mergesSpacesByRecord(join(folder, 'm.gguf')),
      ),
    ),
  },
  {
    name: 'journal',
    seeds: () => [
      JSON.stringify([
        { plan: { fingerprint: 'p', files: ['a'], force: false } },
        { done: [{ tile: 0, crc32: 1, facts: { nan: 0, infinite: 0, overflowed: 0, vanished: 0 } }] }, // biome-ignore format: one line
      ]),
    ],
    mutate: jsonMutator(['plan', 'done', 'fingerprint', 'files', 'tile', 'crc32', 'facts']),
    run: inFolder('.journal.jsonl', (folder) => readJournal(folder), withSums),
  },
  {
    name: 'lm-eval',
    seeds: () => ['old', 'new'].map((name) => readFileSync(fixture('lm-eval', `${name}.json`))),
    mutate: jsonMutator(['results', 'configs', 'versions', 'acc', 'acc,none', 'acc_stderr', 'sample_len', 'group_subtasks', 'n-shot', 'higher_is_better', 'config', 'NaN']), // biome-ignore format: one line
    run: (bytes) => parseEvalRun(bytes, 'results.json'),
  },
  {
    name: 'loss',
    seeds: () => ['step,loss\n1,2\n2,1.5\n', '{"step":1,"loss":2}\n{"step":2,"loss":1}\n'],
    mutate: bytesMutator(['step', 'loss', 'NaN', '1e999', '"', ',', '\n', '{', '}']),
    run: (bytes) => parseLoss(textOf(bytes), 'loss.csv'),
  },
  {
    name: 'card',
    seeds: () => [card, '---\na: 1\n---\n', '---\r\nlicense: mit\r\n---\r\n'],
    mutate: bytesMutator(['---\n', 'license:', '- ', '&a ', '*a', '!!', '{', '}', '[', ']', ': ', '<<: ', '|\n', '"', "'", '\t', '? ', '#']), // biome-ignore format: one line
    run(bytes) {
      const text = textOf(bytes)
      return each(
        () => parseFrontMatter(text, 'README.md'),
        () => cardFaults(text, 'README.md'),
        () => {
          const { yaml } = splitCard(text, '\n')
          readFrontMatter(yaml, 'README.md')
          const changes = [
            { key: 'license', set: 'mit' },
            { key: 'tags', add: ['llama'] },
            { key: 'language', fill: ['en'] },
            { key: 'base_model', dropIf: 'a/b' },
          ]
          editFrontMatter(yaml, changes, '\n', 'README.md')
        },
      )
    },
  },
  {
    name: 'hub-listing',
    seeds: () => [JSON.stringify(listing)],
    mutate: jsonMutator([
      'type',
      'file',
      'path',
      'size',
      'oid',
      'lfs',
      'directory',
      'error',
      '.git/x',
    ]),
    run: (bytes) => {
      const answer = async () =>
        new Response(Buffer.from(bytes), { headers: { 'content-type': 'application/json' } })
      const settings = { endpoint: 'http://h', token: undefined, offline: false, cache: '', patience: 1, firstWait: 1 } // biome-ignore format: one line
      const params = { hubUrl: 'http://h', fetch: answer }
      const client = { settings, fetch: answer, send: answer, params }
      return listRepository(client, 'a/b', 'e'.repeat(40))
    },
  },
]
