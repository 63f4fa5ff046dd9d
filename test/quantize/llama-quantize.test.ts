import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import { readPart } from '../../src/formats/gguf/split.js'
import { mixes, mixNames } from '../../src/quantize/mixes.js'
import { sampleImportance } from '../kernels/distributions.js'
import { openLibLlama } from '../kernels/libllama.js'
import { rawGguf, text, texts, u32 } from '../support/gguf.js'
import { fixture } from '../support/paths.js'
import { sameQuantized } from '../support/quantized.js'
import { tempDir } from '../support/temp.js'
import { convert } from '../support/tensors.js'

const test = suite('quantized as llama.cpp itself does, with importance')

const llama = openLibLlama()
if (typeof llama === 'string') console.log(`skipped: ${llama}`)
else {
  for (const model of ['tiny-v1', 'tiny-v2']) {
    const source = fixture(model, 'easylm', 'streaming_params_bf16')
    const config = fixture(model, 'config.json')
    const folder = tempDir()
    const f32 = join(folder, 'f32.gguf')
    const files = { legacy: join(folder, 'imatrix.dat'), gguf: join(folder, 'imatrix.gguf') }
    let importance = new Map<string, Float32Array>()

    test.before(async () => {
      await convert(source, { to: 'gguf', dtype: 'f32', config, out: f32 })
      const { header } = await readPart(f32)
      // The embedding's rows are picked and not multiplied with: no imatrix has it.
      const matrices = header.tensors.filter(
        ({ name, shape }) => shape.length === 2 && name !== 'token_embd.weight',
      )
      importance = new Map(
        matrices.map(({ name, shape }, i) => [name, sampleImportance(shape[1] ?? 0, i + 1)]),
      )
      writeFileSync(files.legacy, legacyImatrix(importance))
      writeFileSync(files.gguf, ggufImatrix(importance))
    })

    for (const dtype of mixNames) {
      test(`${model}: ${dtype}, from a legacy file and from a GGUF`, async () => {
        const theirs = join(folder, `${dtype}.gguf`)
        llama.quantize(f32, theirs, { fileType: mixes[dtype].fileType, threads: 1, importance })
        const expected = await readPart(theirs)
        for (const [kind, imatrix] of Object.entries(files)) {
          const out = join(tempDir(), 'out.gguf')
          await convert(source, { to: 'gguf', dtype, config, out, mix: { imatrix } })
          sameQuantized(await readPart(out), expected, `${dtype}, ${kind}`)
        }
      })
    }
  }
}

/** As llama-imatrix wrote it before GGUF: sums over calls, here of one call. */
function legacyImatrix(importance: ReadonlyMap<string, Float32Array>): Uint8Array {
  const int = (value: number) => Buffer.from(Int32Array.of(value).buffer)
  return Buffer.concat([
    int(importance.size),
    ...[...importance].flatMap(([name, values]) => [
      int(Buffer.byteLength(name)),
      Buffer.from(name),
      int(1),
      int(values.length),
      Buffer.from(values.buffer, values.byteOffset, values.byteLength),
    ]),
  ])
}

/** As llama-imatrix writes it: sums of squares and counts, here of one. */
function ggufImatrix(importance: ReadonlyMap<string, Float32Array>): Uint8Array {
  const floats = (name: string, values: Float32Array) => ({
    name,
    dimensions: [values.length, 1],
    // GGML_TYPE_F32
    type: 0,
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  })
  return rawGguf({
    entries: [
      text('general.type', 'imatrix'),
      texts('imatrix.datasets', ['probe.txt']),
      u32('imatrix.chunk_count', 1),
      u32('imatrix.chunk_size', 512),
    ],
    tensors: [...importance].flatMap(([name, values]) => [
      floats(`${name}.in_sum2`, values),
      floats(`${name}.counts`, Float32Array.of(1)),
    ]),
  })
}

test.run()
