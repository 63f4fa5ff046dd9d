import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { architectures } from '../src/architectures/index.js'
import { formats } from '../src/formats/index.js'
import { root } from './support/paths.js'

const test = suite('names of formats and architectures')

/** Where a format or an architecture may be called by its name. */
const rooms = /^src\/(formats|architectures|commands)\//

/** Words of others that happen to be the same: what they are there. */
const otherWords: readonly [file: RegExp, words: readonly string[]][] = [
  // GGUF's vocabularies have kinds and pre-tokenizers, by llama.cpp's names for them, and errors
  // that say what the file is of.
  [/^src\/tokenizer\/(gguf-vocab|byte-level-from-gguf)\.ts$/, ['gguf']],
  [/^src\/tokenizer\/(gguf-vocab|load|pre-tokenizer)\.ts$/, ['llama', 'qwen2']],
  // The generation of Meta's tokenizer.
  [/^src\/tokenizer\/generation\.ts$/, ['meta']],
]

/** The texts of a file's string literals, without comments, types and templates of several parts. */
function literals(text: string): string[] {
  const tokens =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g
  return [...text.matchAll(tokens)]
    .filter(([token], i, all) => !token.startsWith('/') && !isType(text, all[i]?.index ?? 0, token))
    .map(([token]) => token.slice(1, -1))
}

/** Whether a literal stands in a type, between bars: what is compared with it is looked at anyway. */
function isType(text: string, at: number, token: string): boolean {
  const before = text.slice(0, at).trimEnd()
  const after = text.slice(at + token.length).trimStart()
  return (
    (before.endsWith('|') && !before.endsWith('||')) ||
    (after.startsWith('|') && !after.startsWith('||'))
  )
}

function filesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return entry.name === 'assembly' ? [] : filesOf(path)
    return path.endsWith('.ts') ? [path] : []
  })
}

test('no name of a format or an architecture stands outside its folder, the registry, and the commands', () => {
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
  assert.equal(literals("const a = 'gguf' // 'onnx'\nconst b = `meta` as 'x' | 'flax'"), [
    'gguf',
    'meta',
  ])
})

test.run()
