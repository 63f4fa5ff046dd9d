import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { architectures } from '../src/architectures/index.js'
import { formats } from '../src/formats/index.js'
import { filesOf, literals } from './support/literals.js'
import { root } from './support/paths.js'

const test = suite('names of formats and architectures')

/** Where a format or an architecture may be called by its name: its folder, and the registry. */
const rooms = /^src\/(formats\/([^/]+\/|index\.ts$)|architectures\/)/

/** Words of others that happen to be the same: what they are there. */
const otherWords: readonly [file: RegExp, words: readonly string[]][] = [
  // GGUF's vocabularies have kinds and pre-tokenizers, by llama.cpp's names for them, and errors
  // that say what the file is of.
  [/^src\/tokenizer\/(gguf-vocab|byte-level-from-gguf)\.ts$/, ['gguf']],
  [/^src\/tokenizer\/(gguf-vocab|load|pre-tokenizer)\.ts$/, ['llama', 'qwen2']],
  // The generation of Meta's tokenizer.
  [/^src\/tokenizer\/generation\.ts$/, ['meta']],
  // A sentence that says what else holds a tensor: words for people, of which one is spelled so.
  [/^src\/formats\/target\.ts$/, ['safetensors']],
]

test('no name of a format or an architecture stands outside its folder, and the registry', () => {
  const names = new Set<string>([...formats, ...architectures].map(({ name }) => name))
  const files = filesOf('src')
  assert.ok(files.length > 250)
  const found = files
    .filter((file) => !rooms.test(file))
    .flatMap((file) => {
      const allowed = otherWords.flatMap(([pattern, words]) => (pattern.test(file) ? words : []))
      return literals(readFileSync(join(root, file), 'utf8'))
        .filter((literal) => names.has(literal) && !allowed.includes(literal))
        .map((literal) => `${file}: ${literal}`)
    })
  assert.equal(found, [])
})

test('a format’s folder has no other format’s name', () => {
  const files = filesOf('src/formats').filter((file) => file.split('/').length > 3)
  const texts = files.map((file) => ({
    file,
    all: literals(readFileSync(join(root, file), 'utf8')),
  }))
  const folderOf = (file: string) => file.split('/')[2]
  for (const { name } of formats) {
    // The file that is called like it, or has it first.
    const homes = texts.filter(
      ({ file, all }) => all.includes(name) && file.endsWith(`/${name}.ts`),
    )
    assert.is(homes.length, 1, name)
    const found = texts.filter(
      ({ file, all }) => all.includes(name) && folderOf(file) !== folderOf(homes[0]?.file ?? ''),
    )
    assert.equal(
      found.map(({ file }) => file),
      [],
      name,
    )
  }
})

test('a name of an architecture stands in its own file alone', () => {
  const names = new Set<string>(architectures.map(({ name }) => name))
  const found = filesOf('src/architectures').flatMap((file) => {
    const own = /([\w-]+)\.ts$/.exec(file)?.[1] ?? ''
    const others = literals(readFileSync(join(root, file), 'utf8')).filter(
      (literal) => names.has(literal) && literal !== own,
    )
    // What GGUF and genai call it is their word.
    return others.map((literal) => `${file}: ${literal}`)
  })
  assert.equal(found, [])
})

test('what is looked for is found where it is', () => {
  const text = [
    "const a = 'gguf' // 'onnx'",
    "const b = `meta` as 'x' | 'flax'",
    "type C = Extract<D, 'llama'>",
    // In a template's expression, and after expressions with quotes in them.
    'const e = `\u0024{f === "easylm" ? `\u0024{g}pytorch` : ""} "onnx"`',
    "const h = /['`]/.test(i) && j === 'qwen2'",
  ].join('\n')
  const found = ['gguf', 'meta', 'easylm', 'pytorch', 'qwen2']
  assert.equal(
    literals(text).filter((each) => /^\w{2,}$/.test(each)),
    found,
  )
})

/** Where a text has the flag of a program, and is meant so. */
const flagsOfPrograms: readonly [file: RegExp, why: string][] = [
  [
    /^src\/card\/sections\/use\.ts$/,
    'a card has commands to copy, of llama.cpp’s and the Hub’s programs too',
  ],
  [/^src\/check\/report\.ts$/, 'CSS has variables'],
  [/^src\/tokenizer\/probes\.ts$/, 'a text to be tokenized'],
]

/** Whole command lines, ours among them, which whoever uses the library can run too. */
const commandLines =
  /(openllama (card|check|tokenizer convert|gguf set)|mlx_lm\.\w+|npm rebuild|llama-export-lora|lm_eval).*$|--output_path of lm_eval| --against SOURCE --record$/s

test('the library’s texts name its options, which commands translate, and no flags', () => {
  const found = filesOf('src')
    .filter((file) => !/^src\/(cli|commands)\//.test(file))
    .filter((file) => !flagsOfPrograms.some(([pattern]) => pattern.test(file)))
    .flatMap((file) =>
      literals(readFileSync(join(root, file), 'utf8'))
        .filter((literal) => /(?<![\w-])--[a-z$]/.test(literal.replace(commandLines, '')))
        .map((literal) => `${file}: ${literal}`),
    )
  assert.equal(found, [])
})

test.run()
