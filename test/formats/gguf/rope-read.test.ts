import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openCheckpoint } from '../../../src/open/open.js'
import { bytesOf } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import {
  f32,
  modelEntries,
  modelTensors,
  type RawEntry,
  rawGguf,
  text,
  u32,
} from '../../support/gguf.js'
import { small } from '../../support/llama.js'
import { tempDir } from '../../support/temp.js'

// Files of others, byte by byte: what their metadata and factors come to in llama.cpp.
const test = suite('formats: gguf, rotary scalings of others')

const prefix = 'llama.rope.scaling.'

/** A file of heads of 4 rows, with two frequencies. */
function file(entries: RawEntry[], factors: Record<string, number[]> = {}): string {
  const path = join(tempDir(), 'model.gguf')
  const tensors = Object.entries(factors).map(([name, values]) => ({
    name: `${name}.weight`,
    dimensions: [values.length],
    type: 0,
    data: bytesOf(Float32Array.from(values)),
  }))
  writeFileSync(
    path,
    rawGguf({
      entries: [...modelEntries(small), ...entries],
      tensors: [...tensors, ...modelTensors(small, 'f32')],
    }),
  )
  return path
}

const same = (factors: number[], attention = 1) => ({
  rope_type: 'longrope',
  short_factor: factors,
  long_factor: factors,
  original_max_position_embeddings: 128,
  attention_factor: attention,
})

const readings: [what: string, path: () => string, scaling: object | null, note?: RegExp][] = [
  ['factors of no name', () => file([], { rope_freqs: [2, 1.5] }), same([2, 1.5]), /of no scaling that has a name/], // biome-ignore format: one line a file
  ['the same, scaled linearly too', () => file([f32(`${prefix}factor`, 2)], { rope_freqs: [2, 1.5] }), same([4, 3])], // biome-ignore format: one line a file
  ['equal factors', () => file([], { rope_freqs: [3, 3] }), { rope_type: 'linear', factor: 3 }],
  ['factors of one', () => file([], { rope_freqs: [1, 1] }), null],
  ['an attention factor alone', () => file([f32(`${prefix}attn_factor`, 1.25)]), same([1, 1], 1.25), /attn_factor is of no scaling/], // biome-ignore format: one line a file
  ['a type of none', () => file([text(`${prefix}type`, 'none'), f32(`${prefix}factor`, 4)]), null],
  [
    'longrope',
    () =>
      file([text(`${prefix}type`, 'longrope'), u32(`${prefix}original_context_length`, 32)], {
        rope_factors_long: [4, 8],
        rope_factors_short: [1, 1.5],
      }),
    {
      rope_type: 'longrope',
      short_factor: [1, 1.5],
      long_factor: [4, 8],
      original_max_position_embeddings: 32,
      attention_factor: 1,
    },
  ],
  [
    'what llama.cpp’s converter writes of YaRN, and llama.cpp does not read',
    () =>
      file([
        text(`${prefix}type`, 'yarn'),
        f32(`${prefix}factor`, 4),
        f32(`${prefix}yarn_attn_factor`, 0.5),
        f32(`${prefix}yarn_beta_slow`, 1),
      ]),
    { rope_type: 'yarn', factor: 4, attention_factor: 0.5, beta_slow: 1 },
    /yarn_attn_factor is kept in the configuration.*does not read it/,
  ],
]
for (const [what, path, scaling, note = /^/] of readings) {
  test(what, async () => {
    const { config, notes } = await openCheckpoint(path())
    assert.equal(config.rope_scaling, scaling)
    assert.ok(note.test(notes.join('\n')), notes.join('\n'))
  })
}

const type = (name: string) => text(`${prefix}type`, name)
const refused: [what: string, path: () => string, ...told: (string | number)[]][] = [
  ['more factors than frequencies', () => file([], { rope_freqs: [1, 2, 3] }), '3 factors', '2 frequencies'], // biome-ignore format: one line a file
  ['a factor of nothing', () => file([], { rope_freqs: [1, 0] }), 'value 1 is 0', 'positive'],
  ['a factor that is no number', () => file([], { rope_freqs: [Number.NaN, 1] }), 'value 0 is NaN'],
  ['long factors alone', () => file([type('longrope')], { rope_factors_long: [1, 2] }), 'rope_factors_short'], // biome-ignore format: one line a file
  ['YaRN and factors', () => file([type('yarn')], { rope_freqs: [1, 2] }), 'at once'],
]
for (const [what, path, ...told] of refused) {
  test(`${what}: refused`, async () => {
    await fails(() => openCheckpoint(path()), 'input', ...told)
  })
}

test.run()
