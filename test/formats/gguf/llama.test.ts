import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  getLlama,
  type Llama,
  type LlamaContextSequence,
  type LlamaModel,
  type Token,
} from 'node-llama-cpp'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { convert } from '../../support/convert.js'
import { fixture, shared } from '../../support/paths.js'
import { tempDir } from '../../support/temp.js'

// What llama.cpp itself makes of our files.
const test = suite('formats: GGUF in llama.cpp')

// One is enough for models of a megabyte; more wait for each other on a busy machine (8 s became 130 s).
const threads = 1
let llama: Llama

test.before(async () => {
  llama = await getLlama({ gpu: false, build: 'never', progressLogs: false, maxThreads: threads })
})

test.after(() => llama.dispose())

/** The most likely tokens after a prompt, up to the end of the text. */
async function continued(
  sequence: LlamaContextSequence,
  prompt: readonly number[],
  most: number,
): Promise<Token[]> {
  await sequence.clearHistory()
  const tokens: Token[] = []
  const likely = sequence.evaluate(tokensOf(prompt), { temperature: 0, yieldEogToken: true })
  for await (const token of likely) {
    tokens.push(token)
    if (tokens.length === most) break
  }
  return tokens
}

/** node-llama-cpp marks its tokens as such; ids of our own are parsed into them. */
function tokensOf(ids: readonly number[]): Token[] {
  return JSON.parse(JSON.stringify(ids))
}

async function withModel(
  path: string,
  work: (model: LlamaModel, sequence: LlamaContextSequence) => Promise<void>,
): Promise<void> {
  const model = await llama.loadModel({ modelPath: path })
  try {
    const context = await model.createContext({ contextSize: 256, threads })
    await work(model, context.getSequence())
  } finally {
    await model.dispose()
  }
}

interface Answer {
  prompt: string
  prompt_ids: number[]
  ids: number[]
}

for (const name of ['tiny-v1', 'tiny-v2']) {
  test(`${name} from EasyLM, whole and split: the answers that transformers gives`, async () => {
    const answers: Answer[] = JSON.parse(
      readFileSync(fixture(name, 'expected', 'generate.json'), 'utf8'),
    )
    const folder = tempDir()
    const options = { to: 'gguf', name, config: fixture(name, 'config.json') }
    const source = fixture(name, 'easylm', 'streaming_params_bf16')
    const files: string[] = []
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      await convert(source, join(folder, `${dtype}.gguf`), { ...options, dtype })
      files.push(join(folder, `${dtype}.gguf`))
    }
    const split = await convert(source, join(folder, 'split'), {
      ...options,
      dtype: 'f16',
      maxShardSize: 500_000,
    })
    assert.ok(split.target.files.length > 2)
    files.push(join(folder, 'split', split.target.files[0]?.name ?? ''))
    for (const file of files) {
      await withModel(file, async (model, sequence) => {
        for (const { prompt, prompt_ids, ids } of answers) {
          const expected = ids.slice(prompt_ids.length)
          assert.equal([...model.tokenize(prompt)], prompt_ids.slice(1), `${file}: ${prompt}`)
          const answer = await continued(sequence, prompt_ids, expected.length)
          assert.equal([...answer], expected, `${file}: ${prompt}`)
        }
      })
    }
  })
}

test('stories260K, through safetensors and back: the story in its description', async () => {
  const real = shared('a story of 200 tokens', 'real', 'stories260K')
  if (real === undefined) return
  const folder = tempDir()
  await convert(join(real, 'stories260K.gguf'), join(folder, 'hf'), { to: 'safetensors' })
  await convert(join(folder, 'hf'), join(folder, 'back.gguf'), { to: 'gguf' })
  const description = readFileSync(join(real, 'stories260K.md'), 'utf8')
  const [, story = ''] = /-t 0\.0\n(.*?)\n```/s.exec(description) ?? []
  await withModel(join(folder, 'back.gguf'), async (model, sequence) => {
    const prompt = [1, ...model.tokenize('Once upon a time')]
    const tokens = await continued(sequence, prompt, 200)
    const told = model.detokenize([...tokensOf(prompt.slice(1)), ...tokens])
    assert.ok(told.length > 450, told)
    assert.ok(story.startsWith(told.trim()), told)
  })
})

test.run()
