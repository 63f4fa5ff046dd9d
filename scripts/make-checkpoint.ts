// Streams an EasyLM checkpoint of a preset with random weights to disk, for benchmarks and tests:
//   npx tsx scripts/make-checkpoint.ts <preset> <file> [--dtype bf16|f16|f32] [--layers N] [--sparse]
// --sparse writes the heads alone and leaves the weights as holes (zeros), so that a file of any
// size takes no time and no disk.
import { open } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { architectureOf } from '../src/architectures/index.js'
import type { BySize } from '../src/checkpoint/geometry.js'
import { allTensors, layoutIn, nameIn } from '../src/checkpoint/names.js'
import { presets } from '../src/checkpoint/presets.js'
import { layOutRecord } from '../src/formats/flax/layout.js'
import { type FloatType, isFloatType } from '../src/types/dtype.js'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    dtype: { type: 'string', default: 'bf16' },
    layers: { type: 'string' },
    sparse: { type: 'boolean', default: false },
  },
})
const [preset = '', path] = positionals
const config = presets.get(preset)
if (config === undefined || path === undefined || !isFloatType(values.dtype)) {
  console.error(
    `usage: make-checkpoint <preset> <file> [--dtype bf16|f16|f32] [--layers N] [--sparse]\npresets: ${[...presets.keys()].join(', ')}`,
  )
  process.exit(2)
}
const dtype = values.dtype
const sizes: BySize<number> = {
  vocab: config.vocab_size,
  hidden: config.hidden_size,
  intermediate: config.intermediate_size,
  query: config.num_attention_heads * config.head_dim,
  key: config.num_key_value_heads * config.head_dim,
}
const pool = values.sparse ? new Uint8Array() : randomWeights(dtype)
const file = await open(path, 'w')
let position = 0
let turn = 0
const architecture = architectureOf(config)
for (const named of allTensors(
  architecture,
  Number(values.layers ?? config.num_hidden_layers),
  () => false,
)) {
  const shape = named.role.shape.map((field) => sizes[field] ?? 0)
  const stored = layoutIn(architecture, 'easylm', named.role, config.head_dim).transposed
    ? shape.reverse()
    : shape
  for (const segment of layOutRecord(nameIn(named, 'easylm') ?? '', dtype, stored)) {
    if (!('payload' in segment)) {
      await file.write(segment, 0, segment.length, position)
      position += segment.length
      continue
    }
    for (let done = 0; done < segment.payload && !values.sparse; ) {
      // Starting elsewhere each time keeps rows and tensors from being equal.
      const from = (turn++ * 8191 * 8) % (pool.length / 2)
      const chunk = pool.subarray(from, Math.min(pool.length, from + segment.payload - done))
      await file.write(chunk, 0, chunk.length, position + done)
      done += chunk.length
    }
    position += segment.payload
  }
}
await file.truncate(position)
await file.close()
console.log(`${path}: ${preset}, ${dtype}, ${position} bytes`)

/** Some millions of normally distributed weights (standard deviation 0.02), always the same. */
function randomWeights(type: FloatType): Uint8Array {
  const count = 4 * 1024 * 1024
  const f32 = new Float32Array(count)
  let state = 12345
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state + 1) / 4294967297
  }
  for (let i = 0; i < count; i += 2) {
    const radius = 0.02 * Math.sqrt(-2 * Math.log(uniform()))
    const angle = 2 * Math.PI * uniform()
    f32[i] = radius * Math.cos(angle)
    f32[i + 1] = radius * Math.sin(angle)
  }
  const bits = new Uint32Array(f32.buffer)
  if (type === 'f32') return new Uint8Array(f32.buffer)
  // Truncation serves here: the weights are random anyway.
  const half = new Uint16Array(count)
  for (let i = 0; i < count; i++)
    half[i] = type === 'bf16' ? (bits[i] ?? 0) >>> 16 : truncateToF16(bits[i] ?? 0)
  return new Uint8Array(half.buffer)
}

function truncateToF16(bits: number): number {
  const exponent = ((bits >>> 23) & 0xff) - 127 + 15
  return exponent <= 0 ? 0 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff)
}
