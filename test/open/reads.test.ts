import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import Convert from '../../src/commands/convert.js'
import { inProcess } from '../support/in-process.js'
import { fixture } from '../support/paths.js'
import { type Reads, readAgain, readsIn } from '../support/reads.js'
import { tempDir } from '../support/temp.js'

const test = suite('what is read of a source')

/** A folder of Hugging Face's with several files of weights, an index, and all that lies beside. */
const folder = tempDir()
const sharded = join(folder, 'sharded')

/** The bytes that headers end before: what comes after them is weights, which are read once more. */
const headers = 1024

async function convert(source: string, to: string, out: string, ...more: string[]): Promise<void> {
  const argv = [source, '--to', to, '--out', out, ...more]
  const { code, stderr } = await inProcess(Convert, argv)
  assert.is(code, 0, stderr)
}

/** Files of which a byte was read twice, by their names, with how many bytes. */
function again(reads: ReadonlyMap<string, Reads>): string[] {
  return [...reads].flatMap(([name, each]) => {
    const bytes = readAgain(each, /\.(json|model)$/.test(name) ? Infinity : headers)
    return bytes === 0 ? [] : [`${name}: ${bytes} bytes`]
  })
}

test.before(async () => {
  await convert(
    fixture('tiny-v2', 'easylm'),
    'safetensors',
    sharded,
    ...['--config', fixture('tiny-v2', 'config.json'), '--max-shard-size', '1MB', '--no-check'],
  )
})

for (const to of ['safetensors', 'pytorch', 'gguf', 'onnx', 'easylm', 'meta']) {
  test(`a conversion to ${to} with its check reads headers and small files once`, async () => {
    const out = join(folder, to)
    const reads = await readsIn(folder, () => convert(sharded, to, out, '--check', '--no-sha256'))
    assert.equal(again(reads), [])
    // Nothing was passed by because it was not counted.
    const names = ['config.json', 'generation_config.json', 'model.safetensors.index.json']
    for (const name of [...names, 'tokenizer.model', 'tokenizer.json', 'tokenizer_config.json']) {
      assert.is(reads.get(join('sharded', name))?.stretches[0]?.begin, 0, name)
    }
    for (const number of ['00001', '00002']) {
      const shard = reads.get(join('sharded', `model-${number}-of-00002.safetensors`))
      assert.is(shard?.stretches[0]?.begin, 0, number)
    }
  })
}

for (const from of ['safetensors', 'pytorch', 'gguf', 'onnx', 'easylm', 'meta']) {
  test(`and one from ${from}`, async () => {
    const to = from === 'gguf' ? 'safetensors' : 'gguf'
    const source = join(folder, `${from}-source`)
    const out = join(folder, `${from}-${to}`)
    await convert(sharded, from, source, '--no-check')
    const reads = await readsIn(source, () => convert(source, to, out, '--check', '--no-sha256'))
    assert.equal(again(reads), [])
    assert.ok(reads.size > 0)
  })
}

test.run()
