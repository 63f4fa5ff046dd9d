import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FormatName } from '../../src/checkpoint/checkpoint.js'
import { type Diff, diffCheckpoints } from '../../src/compare/diff.js'
import { openCheckpoint } from '../../src/open/open.js'
import { fixture, shared } from '../support/paths.js'
import { convert } from '../support/tensors.js'

const test = suite('convert: any format to any other')

type Model = 'tiny-v1' | 'tiny-v2'

interface Source {
  path: string
  dtype: 'f32' | 'f16' | 'bf16'
}

/** The file of each format that the format's own software wrote; ONNX has none. */
const written: Record<Model, Partial<Record<FormatName, [string, Source['dtype']]>>> = {
  'tiny-v1': {
    easylm: ['easylm/streaming_params_bf16', 'bf16'],
    safetensors: ['hf-bf16', 'bf16'],
    pytorch: ['bin-f16', 'f16'],
    meta: ['meta', 'bf16'],
    gguf: ['gguf/bf16.gguf', 'bf16'],
  },
  'tiny-v2': {
    easylm: ['easylm/streaming_params_bf16', 'bf16'],
    flax: ['easylm/flax_params_chunked.msgpack', 'f32'],
    safetensors: ['hf-bf16', 'bf16'],
    pytorch: ['bin-bf16-legacy', 'bf16'],
    meta: ['meta-mp2', 'bf16'],
    gguf: ['gguf/bf16.gguf', 'bf16'],
  },
}

const formats: FormatName[] = ['easylm', 'flax', 'safetensors', 'pytorch', 'meta', 'gguf', 'onnx']

for (const model of ['tiny-v1', 'tiny-v2'] as const) {
  const config = fixture(model, 'config.json')

  /** The peers' file, or where there is none what is made of the EasyLM stream. */
  const sourceIn = async (format: FormatName): Promise<Source> => {
    const [file, dtype] = written[model][format] ?? []
    const path = file && shared(`${model} from ${format}`, 'fixtures', model, file)
    if (path && dtype) return { path, dtype }
    const easylm = fixture(model, 'easylm', 'streaming_params_bf16')
    if (format === 'easylm') return { path: easylm, dtype: 'bf16' }
    const made = dtypeFor(format, 'bf16')
    const { out } = await convert(easylm, { to: format, dtype: made, config })
    return { path: out, dtype: made }
  }

  for (const from of formats) {
    test(`${model}: ${from} to every format, and back`, async () => {
      const source = await sourceIn(from)
      for (const to of formats) {
        const dtype = dtypeFor(to, source.dtype)
        const there = await convert(source.path, { to, dtype, config })
        exact(await diff(source.path, there.out, config), `${from} → ${to}`)
        const back = await convert(there.out, { to: from, dtype: source.dtype, config })
        const round = await diff(source.path, back.out, config)
        exact(round, `${from} → ${to} → ${from}`)
        for (const tensor of round.tensors) {
          // Vectors are f32 in GGUF and ONNX, whatever the matrices are.
          if (tensor.status === 'equal' && !/norm/.test(tensor.name)) {
            assert.is(tensor.dtypes[0], tensor.dtypes[1], `${tensor.name} by way of ${to}`)
          }
        }
      }
    })
  }
}

/** A dtype that `format` holds and that holds every value of `dtype`. */
function dtypeFor(format: FormatName, dtype: Source['dtype']): Source['dtype'] {
  return format === 'onnx' && dtype === 'bf16' ? 'f32' : dtype
}

async function diff(a: string, b: string, config: string): Promise<Diff> {
  const options = { config }
  return diffCheckpoints(await openCheckpoint(a, options), await openCheckpoint(b, options), {
    maxMemory: 64 * 2 ** 20,
  })
}

function exact({ same, tensors, config }: Diff, what: string): void {
  assert.ok(same, `${what}: ${JSON.stringify(config)}`)
  const others = tensors.filter(({ status }) => status !== 'equal').map(({ name }) => name)
  assert.equal(others, [], what)
  assert.is(tensors.length, 21, what)
}

test.run()
