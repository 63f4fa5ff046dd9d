import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import TokenizerCheck from '../../src/commands/tokenizer/check.js'
import TokenizerConvert from '../../src/commands/tokenizer/convert.js'
import { equalBytes } from '../support/bytes.js'
import { openllama } from '../support/cli.js'
import { inProcess } from '../support/in-process.js'
import { fixture, root, shared } from '../support/paths.js'
import { tempDir } from '../support/temp.js'
import { faults, folderOf, modelPath, tokenizerJsonOf, wrongFolder } from '../support/tokenizers.js'

const test = suite('commands: tokenizer')

const check = (...args: string[]) => inProcess(TokenizerCheck, args)
const convert = (...args: string[]) => inProcess(TokenizerConvert, args)

for (const name of ['tiny-v1', 'tiny-v2'] as const) {
  test(`check ${name}: all agree, and say so`, async () => {
    const folder = tempDir()
    const corpus = join(folder, 'corpus.txt')
    writeFileSync(corpus, 'The blue whale\n\n  is   the largest\tanimal. \n가나다 🐋\n')
    const text = await openllama(['tokenizer', 'check', modelPath(name), '--corpus', corpus])
    assert.is(text.code, 0, text.stderr)
    assert.match(text.stdout, /sentencepiece = tokenizer\.json: the same on all \d+ texts/)
    assert.match(text.stdout, /^ok: \d+ probes and 4 lines/m)
    const json = await check(modelPath(name), '--corpus', corpus, '--json')
    const report = JSON.parse(json.stdout)
    assert.equal(Object.keys(report), [
      'source',
      'ok',
      'texts',
      'probes',
      'characters',
      'engines',
      'pairs',
      'notes',
    ])
    assert.is(report.ok, true)
    assert.is(report.texts, report.probes + 4)
    assert.ok(report.probes >= 400)
    assert.equal(
      report.engines.map((engine: { name: string }) => engine.name),
      ['sentencepiece', 'tokenizer.json'],
    )
    for (const engine of report.engines) assert.ok(engine.characters_per_second > 0)
    assert.equal(report.pairs, [
      {
        engines: ['sentencepiece', 'tokenizer.json'],
        encode_mismatches: 0,
        decode_mismatches: 0,
        unexplained: 0,
        limits: [],
        examples: [],
      },
    ])
  })
}

test('check: thousands of lines of this project, in the time that they may take', async () => {
  const own = ['README.md', 'CONTRIBUTING.md', 'package-lock.json', 'docs/tokenizers.md']
  const corpora = own.flatMap((name) => ['--corpus', join(root, name)])
  const start = performance.now()
  const { code, stdout } = await check(modelPath('tiny-v1'), ...corpora, '--json')
  const seconds = (performance.now() - start) / 1000
  assert.is(code, 0, stdout)
  const { texts, probes, pairs } = JSON.parse(stdout)
  assert.ok(texts - probes > 5000, `${texts - probes} lines`)
  assert.equal([pairs[0].encode_mismatches, pairs[0].decode_mismatches], [0, 0])
  assert.ok(seconds < 60, `${seconds} s`)
})

for (const [what, { model, change }] of Object.entries(faults)) {
  test(`check: a tokenizer.json is wrong, ${what}: exit 4 and an example`, async () => {
    const folder = wrongFolder(model, change)
    const { code, stdout, stderr } = await check(folder)
    assert.is(code, 4, stderr)
    assert.match(stdout, /sentencepiece ≠ tokenizer\.json: of \d+ texts \d+ encoded/)
    assert.match(stdout, /\d+ that should not differ:/)
    // Side by side, piece and id.
    assert.match(
      stdout,
      /text ".*"\n +sentencepiece {3}.*("[^"]+" \d+|\(nothing\)).*\n +tokenizer\.json {2}.*"[^"]+" \d+/,
    )
    assert.match(stdout, /^FAILED: /m)
    const json = await check(folder, '--json')
    assert.is(json.code, 4)
    const report = JSON.parse(json.stdout)
    assert.is(report.ok, false)
    const [pair] = report.pairs
    assert.ok(pair.unexplained > 0)
    const [example] = pair.examples
    assert.is(example.explained, false)
    const [left, right] = example.sides
    assert.is(left.ids.length, left.pieces.length)
    assert.is.not(left.ids.join(), right.ids.join())
  })
}

test('check: runs of spaces in an example can be counted', async () => {
  const fault = faults['spaces are not merged']
  assert.ok(fault)
  const { stdout } = await check(wrongFolder(fault.model, fault.change))
  assert.match(stdout, /text ".*␣␣?.*"/)
})

test('check: special tokens that a text spells are no fault of the file', async () => {
  const folder = wrongFolder('tiny-v2', (json) => {
    json.added_tokens.push({ id: 1, content: '<s>', special: true })
  })
  const { code, stdout } = await check(folder)
  assert.is(code, 0, stdout)
  assert.match(stdout, /\d+ that cannot agree: tokenizer\.json makes special tokens of "<s>"/)
  assert.match(stdout, /split_special_tokens/)
})

const model = readFileSync(modelPath('tiny-v1'))

/** Where the first piece after the special ones has its text. */
const aPiece = model.indexOf('<0x00>')

const malformed: [what: string, bytes: Uint8Array, message: RegExp][] = [
  ['half of it is missing', model.subarray(0, 3000), /promised, \d+ are left/],
  ['it is empty', new Uint8Array(), /empty/],
  [
    '2^31 pieces are claimed',
    // trainer_spec { vocab_size: 2^31 - 1 }, merged with what the file has.
    Buffer.concat([model, Buffer.from([0x12, 0x06, 0x20, 0xff, 0xff, 0xff, 0xff, 0x07])]),
    /2147483647 pieces are claimed/,
  ],
  [
    'a piece is no UTF-8',
    model.map((byte, i) => (i === aPiece ? 0xff : byte)),
    /no valid UTF-8|not valid UTF-8|UTF-8/,
  ],
  ['it is a web page', Buffer.from('<!DOCTYPE html><html></html>'), /web page/],
  [
    'it is a pointer',
    Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 534194\n'),
    /Git LFS pointer/,
  ],
  ['it is LLaMA 3’s', Buffer.from('IQ== 0\nIg== 1\nIw== 2\n'), /tiktoken/],
]

for (const [what, bytes, message] of malformed) {
  test(`a tokenizer.model is refused: ${what}`, async () => {
    const folder = folderOf({ 'tokenizer.model': bytes })
    const path = join(folder, 'tokenizer.model')
    for (const run of [
      () => check(path),
      () => check(folder),
      () => convert(path, '--to', 'tokenizer.json'),
    ]) {
      const { code, stderr } = await run()
      assert.is(code, 3, stderr)
      assert.match(stderr, message)
      assert.match(stderr, /tokenizer\.model/)
      assert.not.match(stderr, / {4}at /)
    }
  })
}

const malformedJson: [what: string, text: () => string, message: RegExp][] = [
  ['it is cut off', () => tokenizerJsonOf('tiny-v2').slice(0, 5000), /JSON|tokenizer/],
  [
    'its merges are missing',
    () =>
      tokenizerJsonOf('tiny-v2', (json) => {
        Reflect.deleteProperty(json.model, 'merges')
      }),
    /there are no merges/,
  ],
  [
    'a merge is cyclic',
    () =>
      tokenizerJsonOf('tiny-v2', (json) => {
        json.model.merges[5] = ['▁t', '']
      }),
    /merge 5 is cyclic/,
  ],
  [
    'a merge makes no piece',
    () =>
      tokenizerJsonOf('tiny-v2', (json) => {
        json.model.merges[5] = ['▁t', '▁t']
      }),
    /merge 5 .* no token/,
  ],
]

for (const [what, text, message] of malformedJson) {
  test(`a tokenizer.json is refused: ${what}`, async () => {
    const folder = folderOf({ 'tokenizer.model': model, 'tokenizer.json': text() })
    const { code, stderr } = await check(folder)
    assert.is(code, 3, stderr)
    assert.match(stderr, message)
    assert.match(stderr, /tokenizer\.json/)
  })
}

test('check: a byte-level BPE alone has nothing to be held against', async () => {
  const folder = folderOf({
    'tokenizer.json': readFileSync(fixture('tokenizer', 'byte-level.json')),
  })
  const { code, stderr } = await check(folder)
  assert.is(code, 3)
  assert.match(stderr, /only tokenizer\.json can run this tokenizer/)
})

test('check: sources and corpora that are not there', async () => {
  const folder = tempDir()
  assert.is((await check(join(folder, 'nothing'))).code, 3)
  const empty = await check(folder)
  assert.is(empty.code, 3)
  assert.match(empty.stderr, /no tokenizer is there/)
  const corpus = await check(modelPath('tiny-v1'), '--corpus', join(folder, 'nothing.txt'))
  assert.is(corpus.code, 3)
  assert.match(corpus.stderr, /nothing\.txt: cannot read the corpus/)
})

test('convert: the three files that transformers wants, and they pass the check', async () => {
  const out = join(tempDir(), 'new', 'folder')
  const { code, stdout, stderr } = await convert(
    modelPath('tiny-v1'),
    '--to',
    'tokenizer.json',
    '--out',
    out,
  )
  assert.is(code, 0, stderr)
  assert.match(stdout, /runs of spaces are merged/)
  assert.equal(readdirSync(out).sort(), [
    'special_tokens_map.json',
    'tokenizer.json',
    'tokenizer_config.json',
  ])
  assert.is((await convert(modelPath('tiny-v1'), '--to', 'tokenizer.model', '--out', out)).code, 0)
  equalBytes(readFileSync(join(out, 'tokenizer.model')), model, 'tokenizer.model')
  const checked = await check(out)
  assert.is(checked.code, 0, checked.stdout)
  assert.match(checked.stdout, /tokenizer\.json {2}the one that is there/)
})

test('convert: an existing file is refused without --force, and nothing is half-written', async () => {
  const folder = folderOf({ 'tokenizer_config.json': '{"mine": true}' })
  const again = (...flags: string[]) =>
    convert(modelPath('tiny-v2'), '--to', 'tokenizer.json', '--out', folder, ...flags)
  const { code, stderr } = await again()
  assert.is(code, 2)
  assert.match(stderr, /tokenizer_config\.json: it exists already/)
  assert.match(stderr, /--force/)
  assert.equal(readdirSync(folder), ['tokenizer_config.json'])
  assert.is(readFileSync(join(folder, 'tokenizer_config.json'), 'utf8'), '{"mine": true}')
  assert.is((await again('--force')).code, 0)
  assert.equal(readdirSync(folder).length, 3)
})

test('convert: a file of another name is written alone', async () => {
  const folder = tempDir()
  const path = join(folder, 'v2.json')
  const ran = await convert(modelPath('tiny-v2'), '--to', 'tokenizer.json', '--out', path, '--json')
  assert.is(ran.code, 0, ran.stderr)
  assert.equal(readdirSync(folder), ['v2.json'])
  const { out, files, tokenizer, warnings } = JSON.parse(ran.stdout)
  assert.is(out, path)
  assert.is(files[0].bytes, readFileSync(path).length)
  assert.equal(tokenizer.bos, { id: 1, piece: '<s>' })
  assert.equal(tokenizer.whitespace.merged, false)
  assert.equal(warnings, [])
})

test('convert: wrong usage and what has no model', async () => {
  assert.is((await convert(modelPath('tiny-v1'), '--to', 'vocab.txt')).code, 2)
  assert.is((await convert(modelPath('tiny-v1'))).code, 2)
  const bpe = folderOf({ 'tokenizer.json': readFileSync(fixture('tokenizer', 'byte-level.json')) })
  const { code, stderr } = await convert(bpe, '--to', 'tokenizer.model', '--out', tempDir())
  assert.is(code, 3)
  assert.match(stderr, /only a tokenizer\.json/)
})

test('tokenizer.model → GGUF → tokenizer.model: the same tokenizer, by the record beside it', async () => {
  for (const name of ['tiny-v1', 'tiny-v2'] as const) {
    const folder = tempDir()
    const out = join(folder, 'model.gguf')
    const source = fixture(name, 'easylm', 'streaming_params_bf16')
    const config = fixture(name, 'config.json')
    const made = await openllama([
      'convert',
      source,
      '--config',
      config,
      '--to',
      'gguf',
      '--out',
      out,
    ])
    assert.is(made.code, 0, made.stderr)
    const back = join(folder, 'back')
    assert.is((await convert(out, '--to', 'tokenizer.model', '--out', back)).code, 0)
    // Held against what was made from the original.
    writeFileSync(join(back, 'tokenizer.json'), tokenizerJsonOf(name))
    const { code, stdout } = await check(back)
    assert.is(code, 0, `${name}: ${stdout}`)
    // llama.cpp merges no spaces, with or without the record.
    const held = await check(out)
    assert.is(held.code, 0, held.stdout)
    assert.match(held.stdout, /llama\.cpp/)
    assert.is(
      /cannot agree: llama\.cpp does not merge spaces/.test(held.stdout),
      name === 'tiny-v1',
    )
    // Without the record the GGUF can only say what llama.cpp does.
    const alone = join(folder, 'alone')
    mkdirSync(alone)
    writeFileSync(join(alone, 'model.gguf'), readFileSync(out))
    const other = await check(alone)
    assert.is(other.code, 0, other.stdout)
    assert.match(other.stdout, /sentencepiece = llama\.cpp/)
  }
})

for (const path of [
  shared('a peer’s GGUF', 'fixtures', 'tiny-v1', 'gguf', 'f16.gguf'),
  shared('a peer’s GGUF', 'fixtures', 'tiny-v2', 'gguf', 'f16.gguf'),
  shared('a peer’s GGUF', 'real', 'stories260K', 'stories260K.gguf'),
]) {
  if (path === undefined || !existsSync(path)) continue
  test(`check: a peer's GGUF agrees with llama.cpp (${path.split('/').slice(-3).join('/')})`, async () => {
    const { code, stdout, stderr } = await check(path, '--json')
    assert.is(code, 0, stderr)
    const { pairs } = JSON.parse(stdout)
    assert.is(pairs.length, 3)
    for (const pair of pairs) {
      assert.equal([pair.encode_mismatches, pair.decode_mismatches], [0, 0], pair.engines.join())
    }
  })
}

test.run()
