import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'uvu'
import * as assert from 'uvu/assert'
import { pickleStateDict } from '../../../src/formats/torch/pickle-write.js'
import { openCheckpoint } from '../../../src/open/open.js'
import { fails } from '../../support/errors.js'
import { fixture, shared } from '../../support/paths.js'
import { expectedTensors } from '../../support/sources.js'
import { tempDir } from '../../support/temp.js'
import { convert, f32Hashes, tensorHashes } from '../../support/tensors.js'
import { type MadeEntry, u64, zipOf } from '../../support/zip.js'

const expected: Record<string, string> = JSON.parse(
  readFileSync(fixture('pytorch', 'expected.json'), 'utf8'),
)

for (const [file, ...notes] of [
  ['strided.bin', 'under "state_dict"; left out: epoch, optimizer', 'rotary_emb.inv_freq'],
  ['strided-legacy.bin', 'rotary_emb.inv_freq'],
  ['strided-protocol4.bin', 'rotary_emb.inv_freq'],
] as const) {
  test(`${file}: every type, stride and window that torch saves`, async () => {
    const checkpoint = await openCheckpoint(fixture('pytorch', file))
    assert.equal(await f32Hashes(fixture('pytorch', file)), expected)
    for (const note of notes)
      assert.ok(
        checkpoint.notes.some((told) => told.includes(note)),
        note,
      )
  })
}

test('tensors of one storage are located in it, and nothing is copied', async () => {
  const { tensors } = await openCheckpoint(fixture('pytorch', 'strided.bin'))
  const at = (name: string) => {
    const tensor = tensors.get(`model.layers.0.${name}.weight`)
    const part = tensor?.parts[0]
    return { transposed: tensor?.layout.transposed, pitch: part?.pitch, ...part?.extents[0] }
  }
  const query = at('self_attn.q_proj')
  assert.is(at('self_attn.k_proj').offset, (query.offset ?? 0) + (query.length ?? 0))
  assert.is(query.transposed, false)
  // A half of the columns of a transposed matrix: 12 of 24 elements in each of its rows.
  assert.equal([at('mlp.gate_proj').transposed, at('mlp.gate_proj').pitch], [true, 24])
  assert.is(at('mlp.up_proj').offset, (at('mlp.gate_proj').offset ?? 0) + 24)
  // Columns 2 to 13 of 17.
  assert.equal([at('mlp.down_proj').transposed, at('mlp.down_proj').pitch], [false, 17])
  // Every second element: a column of a matrix of two.
  assert.equal([at('input_layernorm').transposed, at('input_layernorm').pitch], [true, 2])
})

test('f64 is kept where the source’s type is, and comes back', async () => {
  const source = fixture('pytorch', 'strided.bin')
  const once = await convert(source, { to: 'pytorch' })
  const types = (await openCheckpoint(once.out)).tensors
  assert.is(types.get('model.layers.0.self_attn.o_proj.weight')?.dtype, 'f64')
  assert.equal(await f32Hashes(once.out), expected)
})

test('a head on the embedding’s storage is tied, and neither lost nor doubled', async () => {
  const source = fixture('pytorch', 'tied.bin')
  const { config, tensors } = await openCheckpoint(source)
  assert.is(config.tie_word_embeddings, true)
  assert.not(tensors.has('lm_head.weight'))
  const folder = tempDir()
  copyFileSync(source, join(folder, 'pytorch_model.bin'))
  const untied = { num_attention_heads: 4, tie_word_embeddings: false, model_type: 'llama' }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(untied))
  const kept = await openCheckpoint(folder)
  assert.ok(kept.tensors.has('lm_head.weight'))
  assert.is(kept.config.tie_word_embeddings, false)
})

test('strides of which none is one: each column lies by itself', async () => {
  const { tensors } = await openCheckpoint(fixture('pytorch', 'no-unit-stride.bin'))
  const { parts = [] } = tensors.get('lm_head.weight') ?? {}
  assert.equal(
    parts.map(({ column, pitch, rows }) => [column, pitch, rows]),
    [0, 1, 2, 3, 4, 5, 6, 7].map((column) => [column, 48, 16]),
  )
  const [first = 0, ...others] = parts.map(({ extents }) => extents[0]?.offset ?? 0)
  assert.equal(
    others.map((offset) => offset - first),
    [1, 2, 3, 4, 5, 6, 7].map((column) => column * 6 * 4),
  )
})

const latin = (text: string) => Buffer.from(text, 'latin1')

/** A zip as torch writes it, around a pickle; payloads by their keys. */
function archive(pickle: Uint8Array, payloads: Record<string, Uint8Array> = {}): MadeEntry[] {
  return [
    { name: 'm/data.pkl', data: pickle },
    { name: 'm/byteorder', data: latin('little') },
    ...Object.entries(payloads).map(([key, data]) => ({ name: `m/data/${key}`, data })),
    { name: 'm/version', data: latin('3\n') },
  ]
}

const magic = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.'
const version = '\x80\x02M\xe9\x03.'
const system = '\x80\x02}X\x0d\0\0\0little_endian\x88s.'
const empty = '\x80\x02].'

function opened(bytes: Uint8Array, name = 'made.bin'): Promise<unknown> {
  const path = join(tempDir(), name)
  writeFileSync(path, bytes)
  return openCheckpoint(path)
}

const state = pickleStateDict([
  { name: 'model.norm.weight', key: '0', storageType: 'HalfStorage', shape: [4] },
])

/** A pickle that would leave a file behind in whatever runs it. */
const attack = (path: string) =>
  `cos\nsystem\n(X${String.fromCharCode(path.length + 6)}\0\0\0touch ${path}tR`

for (const [where, make] of [
  ['in an archive', (evil: string) => zipOf(archive(latin(`\x80\x02${evil}.`)))],
  [
    'among the tensors of an archive',
    (evil: string) => {
      const whole = latin(`\x80\x02}(X\x01\0\0\0a${evil}u.`)
      return zipOf(archive(whole, { 0: Buffer.alloc(8) }))
    },
  ],
  ['as the object of a legacy container', (evil: string) => latin(`${magic}${version}${system}\x80\x02${evil}.${empty}`)], // biome-ignore format: one line a case
  ['as the magic number of one', (evil: string) => latin(`\x80\x02${evil}.${version}`)],
  ['as its list of keys', (evil: string) => Buffer.concat([latin(`${magic}${version}${system}`), state, latin(`\x80\x02${evil}.`)])], // biome-ignore format: one line a case
] as const) {
  test(`a pickle that calls os.system ${where} is refused by that name`, async () => {
    const trace = join(tempDir(), 'ran')
    const error = await fails(() => opened(make(attack(trace))), 'input', 'os.system')
    assert.is(error.exit, 3)
    assert.not(existsSync(trace))
  })
}

const malformed: [what: string, bytes: Uint8Array, ...message: string[]][] = [
  [
    'an archive of something else',
    zipOf([{ name: 'word/document.xml' }]),
    '0 entries named data.pkl',
  ],
  ['two pickles', zipOf([...archive(state), { name: 'n/data.pkl' }]), '2 entries named data.pkl'],
  ['a storage that is missing', zipOf(archive(state)), 'storage "0" is not in the archive'],
  ['a storage that is too short', zipOf(archive(state, { 0: Buffer.alloc(6) })), 'takes 8 bytes, it has 6'], // biome-ignore format: one line a case
  ['big-endian bytes', zipOf([{ name: 'm/data.pkl', data: state }, { name: 'm/byteorder', data: latin('big') }]), '"big"-endian'], // biome-ignore format: one line a case
  ['a pickle that was changed', zipOf([{ name: 'm/data.pkl', data: state, local: { crc32: 5 }, directory: { crc32: 5 } }]), 'CRC-32', '00000005'], // biome-ignore format: one line a case
  ['bytes after the pickle', zipOf(archive(Buffer.concat([state, latin('x')]))), 'its pickle ends at byte'], // biome-ignore format: one line a case
  ['a state dict within itself', zipOf(archive(latin('}q\0X\x0a\0\0\0state_dicth\0s.'))), 'more than 8 dictionaries'], // biome-ignore format: one line a case
  ['no tensors', zipOf(archive(latin('}.'))), 'no state dict'],
  ['a whole module', zipOf(archive(latin('(X\x06\0\0\0modulet\x51.'))), 'refers to a module'],
  ['another pickle', latin('\x80\x02}.'), 'not one of torch.save'],
  ['another protocol', latin(`${magic}\x80\x02K\x01.`), 'only 1001'],
  [
    'a big-endian machine',
    latin(`${magic}${version}\x80\x02}X\x0d\0\0\0little_endian\x89s.`),
    'big',
  ],
  ['a pickle that is cut', latin(`${magic}${version}`.slice(0, -1)), 'where the file ends'],
  ['keys that no tensor has', Buffer.concat([latin(`${magic}${version}${system}`), state, latin('\x80\x02]X\x01\0\0\0xa.')]), 'a storage "x"'], // biome-ignore format: one line a case
  ['a storage that no key names', Buffer.concat([latin(`${magic}${version}${system}`), state, latin(empty)]), 'storage "0" is not in the file'], // biome-ignore format: one line a case
  ['a legacy storage of another size', Buffer.concat([latin(`${magic}${version}${system}`), state, latin('\x80\x02]X\x01\0\0\x000a.'), u64(3), Buffer.alloc(6)]), 'takes 8 bytes, it has 6'], // biome-ignore format: one line a case
  ['bytes after the last storage', Buffer.concat([latin(`${magic}${version}${system}`), state, latin('\x80\x02]X\x01\0\0\x000a.'), u64(4), Buffer.alloc(9)]), 'its storages end at byte'], // biome-ignore format: one line a case
]

for (const [what, bytes, ...message] of malformed) {
  test(`refuses ${what}`, async () => {
    await fails(() => opened(bytes), 'input', 'pytorch', ...message)
  })
}

/** The call that makes a tensor, spelled out, with whatever arguments. */
function tensorPickle({
  offset = 'K\0',
  shape = 'K\x04\x85',
  strides = 'K\x01\x85',
  type = 'HalfStorage',
  elements = 'K\x04',
}: {
  offset?: string
  shape?: string
  strides?: string
  type?: string
  elements?: string
  /** Of the payload. */
  bytes?: number
}): Uint8Array {
  const storage = `(X\x07\0\0\0storagectorch\n${type}\nX\x01\0\0\x000X\x03\0\0\0cpu${elements}tQ`
  const call = `ctorch._utils\n_rebuild_tensor_v2\n(${storage}${offset}${shape}${strides}\x89}tR`
  return latin(`\x80\x02}X\x01\0\0\0w${call}s.`)
}

const tensors: [what: string, pickle: Parameters<typeof tensorPickle>[0], ...message: string[]][] =
  [
    ['an end beyond its storage', { offset: 'K\x01' }, 'number 4 of storage "0", which has 4'],
    [
      'a shape beyond all memory',
      { shape: '\x8a\x08\xff\xff\xff\xff\xff\xff\x1f\0\x85' },
      'which has 4',
    ],
    [
      'strides of which none is one, and very many elements',
      {
        shape: 'J\0\x10\0\0J\0\x20\0\0\x86',
        strides: 'K\0K\x03\x86',
        elements: 'J\xff\xff\0\0',
        bytes: 0xffff * 2,
      },
      'neither its rows nor',
      'contiguous()',
    ],
    ['a negative offset', { offset: 'J\xff\xff\xff\xff' }, 'without offset, shape or strides'],
    ['fewer strides than axes', { strides: ')' }, 'without offset, shape or strides'],
    [
      'nine axes',
      { shape: `(${'K\x01'.repeat(9)}t`, strides: `(${'K\x01'.repeat(9)}t` },
      'of 9 dimensions',
    ],
    ['a type that torch has not', { type: 'QuantumStorage' }, 'torch.QuantumStorage'],
    ['a size that is no number', { elements: 'N' }, 'a storage without type, key or size'],
  ]

for (const [what, pickle, ...message] of tensors) {
  test(`refuses a tensor with ${what}`, async () => {
    const bytes = zipOf(archive(tensorPickle(pickle), { 0: Buffer.alloc(pickle.bytes ?? 8) }))
    await fails(() => opened(bytes), 'input', ...message)
  })
}

test('storages of a GPU, as old files name them', async () => {
  const on = (type: string) => zipOf(archive(tensorPickle({ type }), { 0: Buffer.alloc(8) }))
  // It is read as far as the tensor that no model has.
  await fails(() => opened(on('cuda.HalfStorage')), 'input', 'not of a LLaMA model: w')
  await fails(() => opened(on('cuda.Storage')), 'input', 'torch.cuda.Storage')
  await fails(() => opened(on('cuda.amp.HalfStorage')), 'input', 'torch.cuda.amp.HalfStorage')
})

test('payloads are held against the archive’s checksums as they are converted', async () => {
  const source = readFileSync(fixture('pytorch', 'strided.bin'))
  const { tensors } = await openCheckpoint(fixture('pytorch', 'strided.bin'))
  const { offset = 0 } = tensors.get('lm_head.weight')?.parts[0]?.extents[0] ?? {}
  // A bit of a mantissa: the value stays finite.
  source.writeUInt8(source.readUInt8(offset) ^ 1, offset)
  const path = join(tempDir(), 'strided.bin')
  writeFileSync(path, source)
  const out = join(tempDir(), 'out')
  for (const sha256 of [true, false]) {
    const error = await fails(
      () => convert(path, { to: 'safetensors', out, heads: 4 }, { sha256 }),
      'input',
      path,
      'the entry "strided/data/',
      'CRC-32',
      'download it again',
    )
    assert.is(error.exit, 3)
    assert.not(existsSync(out))
    assert.not(existsSync(`${out}.partial`))
  }
})

test('shards: with an index, without one, and with one missing', async () => {
  const source = fixture('pytorch', 'strided.bin')
  const { out } = await convert(source, { to: 'pytorch', maxShardSize: 1000 })
  const index = join(out, 'pytorch_model.bin.index.json')
  const { weight_map } = JSON.parse(readFileSync(index, 'utf8'))
  const names = [...new Set(Object.values<string>(weight_map))]
  assert.ok(names.length > 2)
  assert.equal(await f32Hashes(out), expected)
  assert.equal(await f32Hashes(index), expected)

  const bare = tempDir()
  for (const name of names) copyFileSync(join(out, name), join(bare, name))
  copyFileSync(join(out, 'config.json'), join(bare, 'config.json'))
  assert.equal(await f32Hashes(bare), expected)
  const [first = '', second = ''] = names
  assert.equal(await f32Hashes(join(bare, second)), expected)

  const partial = tempDir()
  copyFileSync(join(out, first), join(partial, first))
  await fails(() => openCheckpoint(partial), 'input', second, '4 are missing')

  writeFileSync(index, JSON.stringify({ weight_map: { a: '../elsewhere.bin' } }))
  await fails(() => openCheckpoint(out), 'input', '"../elsewhere.bin"', 'no file of this folder')
})

test('the same checkpoint gives the same bytes', async () => {
  const source = fixture('pytorch', 'strided.bin')
  const hashes = async (threads: number, maxMemory: number) =>
    (await convert(source, { to: 'pytorch', threads, maxMemory })).target.files
  assert.equal(await hashes(1, 16 * 2 ** 20), await hashes(4, 256 * 2 ** 20))
})

test('a training folder’s other .bin files are not taken for the model', async () => {
  const folder = tempDir()
  mkdirSync(join(folder, 'x'))
  copyFileSync(fixture('pytorch', 'strided.bin'), join(folder, 'weights.pt'))
  copyFileSync(fixture('pytorch', 'strided-legacy.bin'), join(folder, 'training_args.bin'))
  assert.is((await openCheckpoint(folder, { heads: 4 })).format, 'pytorch')
})

const peers = suite('pytorch: what transformers and torch wrote')

for (const model of ['tiny-v1', 'tiny-v2']) {
  const hf = shared('conversions of torch’s own files', 'fixtures', model, 'hf-bf16')
  if (hf === undefined) continue
  peers(`${model}: bf16 in the legacy container holds the expected values`, async () => {
    const legacy = join(hf, '..', 'bin-bf16-legacy')
    if (!existsSync(legacy)) return
    const hashes = Object.entries(await f32Hashes(legacy))
    assert.is(hashes.length, expectedTensors(model).size)
    for (const [name, hash] of hashes)
      assert.is(hash, expectedTensors(model).get(name)?.sha256_f32, name)
  })

  for (const folder of ['bin-f16', 'bin-f16-sharded']) {
    peers(`${model}: ${folder} holds the values rounded to f16`, async () => {
      const rounded = await convert(hf, { to: 'safetensors', dtype: 'f16' })
      const taken = await convert(join(hf, '..', folder), { to: 'safetensors' })
      assert.equal(
        tensorHashes(await openCheckpoint(taken.out)),
        tensorHashes(await openCheckpoint(rounded.out)),
      )
    })
  }

  peers(`${model}: to pytorch and back gives the source’s bytes`, async () => {
    const there = await convert(hf, { to: 'pytorch', maxShardSize: 700_000 })
    assert.ok(there.target.files.length > 3)
    assert.equal(
      tensorHashes(await openCheckpoint(there.out)),
      tensorHashes(await openCheckpoint(hf)),
    )
  })
}

test.run()
peers.run()
