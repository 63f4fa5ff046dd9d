import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { roundingOf } from '../../../src/check/rounding.js'
import { describeOpaque } from '../../../src/cli/inspection.js'
import { setMetadata } from '../../../src/convert/apply-edit.js'
import { engineFor, exactEngineFor } from '../../../src/engines/open.js'
import { parseAssignment } from '../../../src/formats/gguf/assign.js'
import { opaqueIn } from '../../../src/formats/gguf/opaque.js'
import { readParts } from '../../../src/formats/gguf/split.js'
import { openCheckpoint } from '../../../src/open/open.js'
import { openRunnable } from '../../../src/open/runnable.js'
import { equalBytes } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import { modelEntries, modelTensors, rawGguf, text, texts } from '../../support/gguf.js'
import { small } from '../../support/llama.js'
import { tempDir } from '../../support/temp.js'

const test = suite('formats: GGUF of types that are not read')

/** Numbers of ggml's: iq4_xs is 23, and of 99 nobody has heard. */
function written(type: number, entries = modelEntries(small)): string {
  const path = join(tempDir(), 'model.gguf')
  const vocabulary = [
    text('tokenizer.ggml.model', 'gpt2'),
    text('tokenizer.ggml.pre', 'gpt-2'),
    texts('tokenizer.ggml.tokens', ['a', 'b', 'c']),
    texts('tokenizer.ggml.merges', []),
  ]
  const opaque = {
    name: 'blk.0.ffn_down.weight',
    dimensions: [256, 2],
    type,
    data: new Uint8Array(type === 1 ? 1024 : 272),
  }
  const tensors = modelTensors(small, 'f32').filter(({ name }) => name !== opaque.name)
  writeFileSync(
    path,
    rawGguf({ entries: [...entries, ...vocabulary], tensors: [...tensors, opaque] }),
  )
  return path
}

async function openOpaque(path: string) {
  return opaqueIn(await readParts(path), path)
}

test('inspect shows the header, the metadata and the types', async () => {
  const found = await openOpaque(written(23))
  assert.ok(found)
  const shown = describeOpaque(found, true)
  assert.match(shown, /types +f32 × \d+, iq4_xs × 1/)
  assert.match(shown, /llama\.context_length +uint32 +128/)
  assert.match(shown, /blk\.0\.ffn_down\.weight +iq4_xs +\[2, 256\]/)
  const unknown = await openOpaque(written(99))
  assert.ok(unknown)
  assert.match(describeOpaque(unknown, false), /type 99 × 1/)
})

test('another architecture is shown too', async () => {
  const entries = [text('general.architecture', 'gemma3'), ...modelEntries(small).slice(1)]
  const found = await openOpaque(written(1, entries))
  assert.match(found?.reason ?? '', /"gemma3" is not supported/)
  assert.is(await openOpaque(written(1)), undefined)
})

test('a conversion is refused, by the name of the type', async () => {
  await fails(() => openCheckpoint(written(23)), 'input', 'blk.0.ffn_down.weight', 'iq4_xs', 'q4_k')
  await fails(() => openCheckpoint(written(99)), 'input', 'type 99')
  await fails(() => openCheckpoint(written(4)), 'input', 'type 4')
})

test('it runs in llama.cpp, and is held to the limits of the nearest type', async () => {
  const runnable = await openRunnable(written(23))
  assert.is(engineFor(runnable), 'llama.cpp')
  assert.is(exactEngineFor(runnable), 'llama.cpp')
  assert.is(roundingOf(runnable).type, 'q4_0')
  assert.is(runnable.checkpoint.config.hidden_size, small.hidden)
  assert.match(runnable.checkpoint.notes.join(), /iq4_xs are not read here/)
})

test('gguf set keeps every tensor of it', async () => {
  const path = written(23)
  const before = readFileSync(path)
  await setMetadata(path, [parseAssignment('general.name=other')], { dryRun: false })
  const found = await openOpaque(path)
  assert.is(found?.tensors.length, modelTensors(small, 'f32').length)
  equalBytes(readFileSync(path).subarray(-272), before.subarray(-272), 'the last tensor')
})

test.run()
