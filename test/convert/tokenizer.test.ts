import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { proveTokenizer } from '../../src/convert/tokenizer-proof.js'
import { targetFormats } from '../../src/formats/index.js'
import { openCheckpoint } from '../../src/open/open.js'
import { parseSentencePiece } from '../../src/tokenizer/sentencepiece.js'
import { tokenizerFiles } from '../../src/tokenizer/tokenizer-files.js'
import { equalBytes } from '../support/bytes.js'
import { openllama } from '../support/cli.js'
import { makeSource } from '../support/conversion.js'
import { convert } from '../support/convert.js'
import { fails } from '../support/errors.js'
import { small } from '../support/llama.js'
import { fixture } from '../support/paths.js'
import { modelOf, normal } from '../support/pieces.js'
import { faults, folderOf, modelPath, tokenizerJsonOf } from '../support/tokenizers.js'

const test = suite('convert: the tokenizer')

const model512 = { ...small, vocab: 512 }

/** A stream with these files beside it. */
function sourceWith(files: { readonly [name: string]: string | Uint8Array }) {
  const made = makeSource(model512)
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(made.folder, 'in', name), content)
  }
  return made
}

for (const [what, { model, change }] of Object.entries(faults)) {
  const wrong = tokenizerJsonOf(model, change)
  const files = { 'tokenizer.model': readFileSync(modelPath(model)), 'tokenizer.json': wrong }

  test(`the source's tokenizer.json is wrong, ${what}: said, and the right one is written`, async () => {
    const { source, out } = sourceWith(files)
    const { warnings, notes } = await convert(source, out, { to: 'safetensors' })
    const said = warnings.find((warning) => warning.includes('disagrees'))
    assert.ok(said, warnings.join('\n'))
    assert.match(
      said,
      /the source's tokenizer\.json disagrees with its tokenizer\.model on \d+ of \d+ probes; the right one is written\. For example: text ".*"; sentencepiece {2}.*; the source's tokenizer\.json {2}/,
    )
    assert.ok(notes.includes(said))
    const written = JSON.parse(readFileSync(join(out, 'tokenizer.json'), 'utf8'))
    assert.equal(written.normalizer, JSON.parse(tokenizerJsonOf(model)).normalizer)
    assert.equal(written.model.merges, JSON.parse(tokenizerJsonOf(model)).model.merges)
  })

  test(`--keep-tokenizer keeps it nevertheless, ${what}`, async () => {
    const { source, out } = sourceWith({
      ...files,
      'special_tokens_map.json': '{"bos_token":"<s>"}',
    })
    const { warnings, target, options } = await convert(source, out, {
      to: 'safetensors',
      keepTokenizer: true,
    })
    assert.ok(warnings.some((warning) => /disagrees.*it is kept as asked/.test(warning)))
    assert.is(options.keep_tokenizer, true)
    assert.is(readFileSync(join(out, 'tokenizer.json'), 'utf8'), wrong)
    equalBytes(readFileSync(join(out, 'tokenizer.model')), files['tokenizer.model'], 'model')
    assert.is(readFileSync(join(out, 'special_tokens_map.json'), 'utf8'), '{"bos_token":"<s>"}')
    // None of ours among them.
    assert.not(readdirSync(out).includes('tokenizer_config.json'))
    const recorded = target.files.map(({ name }) => name)
    for (const name of ['tokenizer.json', 'tokenizer.model', 'special_tokens_map.json']) {
      assert.ok(recorded.includes(name), name)
    }
  })
}

test('a right tokenizer.json of the source is no reason for a warning', async () => {
  const { source, out } = sourceWith({
    'tokenizer.model': readFileSync(modelPath('tiny-v1')),
    'tokenizer.json': tokenizerJsonOf('tiny-v1'),
  })
  assert.equal((await convert(source, out, { to: 'safetensors' })).warnings, [])
})

test('a tokenizer.json that no program can load is said, and replaced', async () => {
  const { source, out } = sourceWith({
    'tokenizer.model': readFileSync(modelPath('tiny-v1')),
    'tokenizer.json': '{"model": {"type": "BPE", "vocab": {}}}',
  })
  const { warnings } = await convert(source, out, { to: 'safetensors' })
  assert.match(warnings.join('\n'), /cannot be used \(.*no merges\); the right one is written/)
})

/** "zq" counts before "qz" in a list of merges; SentencePiece takes the first in the text. */
const ties = ['zq', 'qz'].map((text) => ({ text, score: -0.5, type: 'normal' }) as const)

test('no tokenizer.json can be right: tokenizer.model goes along without it, and that is said', async () => {
  // The built-in probes do not see it, a piece of the model's own does.
  const { model, bytes } = modelOf([...ties, ...normal('▁', 'q', 'z', 'w', 'qzqw')])
  const { files } = tokenizerFiles(model, 'ties')
  const tokenizer = { path: 'ties', bytes, model, sources: [] }
  const { wrong } = await proveTokenizer(tokenizer, files['tokenizer.json'])
  assert.match(
    wrong ?? '',
    /differs from SentencePiece on \d+ of \d+ texts.*2 of its pieces have one score/,
  )
  const { source, out } = sourceWith({ 'tokenizer.model': bytes })
  const { warnings } = await convert(source, out, { to: 'safetensors' })
  assert.match(
    warnings.join('\n'),
    /No tokenizer\.json is written: the tokenizer\.model is what counts/,
  )
  assert.not(readdirSync(out).includes('tokenizer.json'))
  equalBytes(readFileSync(join(out, 'tokenizer.model')), bytes, 'model')
  const config = JSON.parse(readFileSync(join(out, 'tokenizer_config.json'), 'utf8'))
  assert.is(config.tokenizer_class, 'LlamaTokenizer')
})

test('no tokenizer.json of ours is right, the source’s own is: it is passed on', async () => {
  // Of the pieces' texts the other order of the two is right.
  const { model, bytes } = modelOf([...ties, ...normal('▁', 'q', 'z', 'w', 'qzqw')])
  const json = JSON.parse(tokenizerFiles(model, 'ties').files['tokenizer.json'])
  json.model.merges.splice(0, 2, 'q z', 'z q')
  const own = JSON.stringify(json)
  const { source, out } = sourceWith({ 'tokenizer.model': bytes, 'tokenizer.json': own })
  const { warnings } = await convert(source, out, { to: 'safetensors' })
  assert.match(warnings.join('\n'), /The source's own is right/)
  assert.is(readFileSync(join(out, 'tokenizer.json'), 'utf8'), own)
  equalBytes(readFileSync(join(out, 'tokenizer.model')), bytes, 'model')
})

test('ours is found wrong before anything is written', async () => {
  const path = modelPath('tiny-v1')
  const bytes = new Uint8Array(readFileSync(path))
  const tokenizer = { path, bytes, model: parseSentencePiece(bytes, path), sources: [] }
  assert.equal(await proveTokenizer(tokenizer, tokenizerJsonOf('tiny-v1')), { warnings: [] })
  const fault = faults['spaces are not merged']
  assert.ok(fault)
  const wrong = tokenizerJsonOf('tiny-v1', fault.change)
  assert.match((await proveTokenizer(tokenizer, wrong)).wrong ?? '', /differs.*text "/)
  // What is approximate in a unigram model is a warning.
  const name = fixture('tokenizer', 'unigram.model')
  const unigram = new Uint8Array(readFileSync(name))
  const approximate = {
    path: name,
    bytes: unigram,
    model: parseSentencePiece(unigram, name),
    sources: [],
  }
  const { warnings } = await proveTokenizer(approximate, wrong)
  assert.match(warnings.join(), /differs from SentencePiece on \d+ of/)
})

for (const [name, path, rows, said] of [
  ['tokenizer.model', modelPath('tiny-v1'), 511, '512 pieces, the embedding only 511 rows'],
  [
    'tokenizer.json',
    fixture('tokenizer', 'byte-level.json'),
    399,
    'a token of the id 399, the embedding only 399 rows',
  ],
] as const) {
  test(`a ${name} larger than the embedding is refused, whatever it is written to`, async () => {
    const made = makeSource({ ...small, vocab: rows })
    writeFileSync(join(made.folder, 'in', name), readFileSync(path))
    for (const to of targetFormats) {
      await fails(() => convert(made.source, made.out, { to }), 'input', name, said, '`tokenizer`')
    }
    assert.equal(readdirSync(made.folder), ['in'])
  })
}

test('a tokenizer.json alone makes the vocabulary that its tokenizer.model makes', async () => {
  const scoresOf = async (files: { readonly [name: string]: string | Uint8Array }) => {
    const { source, out } = sourceWith(files)
    const { warnings } = await convert(source, `${out}.gguf`, { to: 'gguf' })
    const { metadata = [] } = await openCheckpoint(`${out}.gguf`)
    const own = metadata.filter(({ key }) => key.startsWith('tokenizer.'))
    return { values: own.map(({ key, value }) => [key, value]), warnings }
  }
  const config = '{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}'
  const { values, warnings } = await scoresOf({
    'tokenizer.json': tokenizerJsonOf('tiny-v2'),
    'tokenizer_config.json': config,
  })
  const expected = await scoresOf({
    'tokenizer.model': readFileSync(modelPath('tiny-v2')),
    'tokenizer_config.json': config,
  })
  // The converter of llama.cpp names the unknown token where a tokenizer.json does.
  assert.equal(
    values.filter(([key]) => key !== 'tokenizer.ggml.unknown_token_id'),
    expected.values,
  )
  assert.match(warnings.join('\n'), /there is only a tokenizer\.json: scores are rebuilt/)
})

test('a Git LFS pointer in the place of a tokenizer file is called by its name', async () => {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 1842767\n`
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'tokenizer.model']) {
    const files = { 'tokenizer.json': tokenizerJsonOf('tiny-v2'), [name]: pointer }
    const { source, out } = sourceWith(files)
    for (const to of ['gguf', 'safetensors']) {
      await fails(() => convert(source, out, { to }), 'input', name, 'Git LFS pointer')
    }
  }
})

const named = JSON.stringify({
  chat_template: [
    { name: 'default', template: '{{ messages }}' },
    { name: 'tool_use', template: '{{ tools }}' },
  ],
})

for (const [what, file, name] of [
  ['SentencePiece model', 'tokenizer.model', modelPath('tiny-v1')],
  ['byte-level BPE', 'tokenizer.json', fixture('tokenizer', 'byte-level.json')],
] as const) {
  test(`chat templates with names go into a GGUF, and back: ${what}`, async () => {
    const { source, out } = sourceWith({
      [file]: readFileSync(name),
      'tokenizer_config.json': named,
    })
    await convert(source, out, { to: 'gguf' })
    const [gguf = ''] = readdirSync(out).filter((each) => each.endsWith('.gguf'))
    const { metadata = [] } = await openCheckpoint(join(out, gguf))
    const values = new Map(metadata.map(({ key, value }) => [key, value]))
    assert.is(values.get('tokenizer.chat_template'), '{{ messages }}')
    assert.is(values.get('tokenizer.chat_template.tool_use'), '{{ tools }}')
    assert.equal(values.get('tokenizer.chat_templates'), ['tool_use'])
    await convert(join(out, gguf), `${out}-back`, { to: 'safetensors' })
    const config = readFileSync(join(`${out}-back`, 'tokenizer_config.json'), 'utf8')
    assert.equal(JSON.parse(config).chat_template, JSON.parse(named).chat_template)
  })
}

test('a byte-level BPE goes along as it is, and into a GGUF', async () => {
  const json = readFileSync(fixture('tokenizer', 'byte-level.json'))
  const files = {
    'tokenizer.json': json,
    'tokenizer_config.json': '{"chat_template": "{{ messages }}"}',
    'chat_template.jinja': '{{ messages }}',
  }
  const { source, out } = sourceWith(files)
  for (const to of ['safetensors', 'pytorch', 'easylm'] as const) {
    const { warnings, target } = await convert(source, `${out}-${to}`, { to })
    // Of the model's shape EasyLM has its own to say.
    assert.equal(
      warnings.filter((warning) => !warning.startsWith('EasyLM')),
      [],
    )
    for (const [name, content] of Object.entries(files)) {
      equalBytes(readFileSync(join(`${out}-${to}`, name)), Buffer.from(content), name)
      assert.ok(target.files.some((file) => file.name === name))
    }
  }
  const held = join(`${out}-both`)
  await convert(source, held, { to: 'gguf' })
  const names = readdirSync(held).filter((name) => name.endsWith('.gguf'))
  const gguf = readFileSync(join(held, names[0] ?? ''))
  assert.ok(gguf.includes('tokenizer.chat_template'), 'the template goes into the GGUF')
  assert.ok(gguf.includes('{{ messages }}'))
  // Beside each other, llama.cpp and the tokenizer.json give the same.
  writeFileSync(join(held, 'tokenizer.json'), json)
  const { code, stdout, stderr } = await openllama(['tokenizer', 'check', held])
  assert.is(code, 0, stdout + stderr)
  assert.match(stdout, /tokenizer\.json [=≈] llama\.cpp/)
  assert.not.match(stdout, /sentencepiece/)
})

test('a GGUF of which no tokenizer.json can be made goes on without one; to GGUF as it is', async () => {
  const json = readFileSync(fixture('tokenizer', 'byte-level.json'))
  const { source, out } = sourceWith({ 'tokenizer.json': json })
  const unknown = `${out}.gguf`
  await convert(source, unknown, { to: 'gguf', metadata: ['tokenizer.ggml.pre=kimi-k2'] })
  const { warnings } = await convert(unknown, `${out}-folder`, { to: 'safetensors' })
  assert.match(warnings.join('\n'), /no tokenizer is written: .*"kimi-k2"/)
  assert.not(readdirSync(`${out}-folder`).includes('tokenizer.json'))
  await convert(unknown, `${out}-again.gguf`, { to: 'gguf' })
  const vocabulary = async (path: string) =>
    (await openCheckpoint(path)).metadata?.filter(({ key }) => key.startsWith('tokenizer.'))
  assert.equal(await vocabulary(`${out}-again.gguf`), await vocabulary(unknown))
})

test('--tokenizer takes a tokenizer.json', async () => {
  const { source, out } = sourceWith({})
  const json = readFileSync(fixture('tokenizer', 'byte-level.json'))
  const folder = folderOf({ 'tokenizer.json': json })
  await convert(source, out, { to: 'safetensors', tokenizer: join(folder, 'tokenizer.json') })
  equalBytes(readFileSync(join(out, 'tokenizer.json')), json, 'tokenizer.json')
  await fails(
    () => convert(source, `${out}-2`, { to: 'safetensors', tokenizer: join(folder, 'nothing') }),
    'input',
    'nothing',
  )
})

test('--keep-tokenizer where it cannot work', async () => {
  const { source, out } = sourceWith({})
  await fails(
    () => convert(source, out, { to: 'safetensors', keepTokenizer: true }),
    'usage',
    'no tokenizer files',
  )
  await fails(() => convert(source, out, { to: 'gguf', keepTokenizer: true }), 'usage', 'gguf')
})

test('a tokenizer.model alone is kept too', async () => {
  const { source, out } = sourceWith({ 'tokenizer.model': readFileSync(modelPath('tiny-v2')) })
  await convert(source, out, { to: 'safetensors', keepTokenizer: true })
  const kept = readFileSync(join(out, 'tokenizer.model'))
  equalBytes(kept, readFileSync(modelPath('tiny-v2')), 'tokenizer.model')
  assert.not(readdirSync(out).includes('tokenizer.json'))
})

test('a map that calls </s> the BOS is contradicted on stderr and in the record', async () => {
  const { source, out } = sourceWith({
    'tokenizer.model': readFileSync(modelPath('tiny-v2')),
    'special_tokens_map.json': '{"bos_token": "</s>", "eos_token": "</s>"}',
  })
  const ran = await openllama(['convert', source, '--to', 'safetensors', '--out', out])
  assert.is(ran.code, 0, ran.stderr)
  const said =
    'special_tokens_map.json calls "</s>" the BOS, against the model file; "<s>" (id 1) is written.'
  assert.ok(ran.stderr.includes(said), ran.stderr)
  assert.ok(JSON.parse(readFileSync(join(out, 'openllama.json'), 'utf8')).notes.includes(said))
  const map = JSON.parse(readFileSync(join(out, 'special_tokens_map.json'), 'utf8'))
  assert.is(map.bos_token, '<s>')
})

test('inspect shows generation, spaces, BOS and EOS, and whether the sizes agree', async () => {
  const { source } = sourceWith({ 'tokenizer.model': readFileSync(modelPath('tiny-v1')) })
  const { stdout } = await openllama(['inspect', source])
  assert.match(
    stdout,
    /tokenizer +SentencePiece BPE, of no known generation \(.*tokenizer\.model\)/,
  )
  assert.match(stdout, /spaces +runs of spaces are merged/)
  assert.match(stdout, /BOS, EOS +1 "<s>", 2 "<\/s>"/)
  assert.match(stdout, /tokens +512 for 512 rows of the embedding$/m)
  const { tokenizer } = JSON.parse((await openllama(['inspect', source, '--json'])).stdout)
  const { model, beside, ...facts } = tokenizer
  assert.match(model, /tokenizer\.model$/)
  assert.equal(beside, [])
  assert.equal(facts, {
    kind: 'sentencepiece-bpe',
    generation: 'other',
    whitespace: { merged: true, dummy_prefix: true, run_pieces: 0 },
    pre: null,
    bos: { id: 1, piece: '<s>' },
    eos: { id: 2, piece: '</s>' },
    pieces: 512,
    embedding_rows: 512,
    sizes_agree: true,
  })
})

test('inspect: a byte-level BPE, other sizes, and a tokenizer that cannot be read', async () => {
  const bpe = sourceWith({
    'tokenizer.json': readFileSync(fixture('tokenizer', 'byte-level.json')),
  })
  const { stdout } = await openllama(['inspect', bpe.source])
  assert.match(stdout, /tokenizer +byte-level BPE, llama-bpe \(/)
  assert.match(stdout, /tokens +402 for 512 rows of the embedding: 110 rows have no token/)
  const broken = sourceWith({ 'tokenizer.model': 'no model' })
  const ran = await openllama(['inspect', broken.source])
  assert.is(ran.code, 0)
  assert.match(ran.stderr, /warning: the tokenizer cannot be read: /)
})

test.run()
