import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openTextTokenizer } from '../../src/check/text-tokenizer.js'
import { openEngine } from '../../src/engines/open.js'
import { openRunnable } from '../../src/open/runnable.js'
import { convert } from '../support/convert.js'
import { shared } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

const test = suite('check: stories260K')
const tokens = 200

const folder = shared('a real model of others, 200 greedy tokens', 'real', 'stories260K')
if (folder !== undefined) {
  const source = join(folder, 'stories260K.gguf')
  // Its description shows the text at temperature 0 behind the command that made it.
  const text = readFileSync(join(folder, 'stories260K.md'), 'utf8')
  const [, shown = ''] = /-t 0\.0\n(Once upon a time[\s\S]*?)\n```/.exec(text) ?? []

  const temporary = tempDir()
  const files: Record<string, () => Promise<string>> = {
    'as it is': async () => source,
    'as safetensors': () => made('safetensors'),
    'as EasyLM': () => made('easylm'),
    'as ONNX': () => made('onnx', 'f32'),
  }
  const made = async (to: string, dtype: 'auto' | 'f32' = 'auto') =>
    (await convert(source, join(temporary, to), { to, dtype })).out

  for (const [what, file] of Object.entries(files)) {
    test(`${what}: ${tokens} tokens are those of llama2.c`, async () => {
      const runnable = await openRunnable(await file())
      const tokenizer = await openTextTokenizer(runnable.checkpoint)
      assert.ok(tokenizer)
      const engine = await openEngine(runnable, { device: 'cpu', threads: 1 })
      const given = [1, ...tokenizer.encode('Once upon a time')]
      const made = await engine.generate(given, tokens)
      assert.is(made.length, tokens)
      const story = tokenizer.decode([...given.slice(1), ...made])
      assert.ok(story.length > 400, story)
      assert.is(story, shown.slice(0, story.length))
      await engine.dispose()
    })
  }
}

test.run()
