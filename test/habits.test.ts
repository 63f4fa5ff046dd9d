import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from './support/paths.js'

// What no linter of ours knows.

const test = suite('habits')

const folders = ['.ci', 'bin', 'docs', 'schemas', 'scripts', 'src', 'test']
const files = [
  ...readdirSync(root).filter((name) => /\.(md|jsonc?)$/.test(name)),
  ...folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(ts|js|json|md|py)$/.test(name) || folder === '.ci')
      .map((name) => `${folder}/${name.split(sep).join('/')}`),
  ),
].filter((name) => !/\/fixtures\/|^package-lock\.json$/.test(name))
const textOf = (name: string) => readFileSync(join(root, name), 'utf8')

/** Lines of files that a pattern is in, with their places. */
function found(pattern: RegExp, among: readonly string[]): string[] {
  return among.flatMap((name) =>
    textOf(name)
      .split('\n')
      .flatMap((line, i) => (pattern.test(line) ? [`${name}:${i + 1}: ${line.trim()}`] : [])),
  )
}

test('quantize and license have one spelling, which is llama.cpp’s and the Hub’s', () => {
  assert.ok(files.length > 300)
  // Put together, so that this file does not have what it looks for.
  const others = new RegExp(['quanti', 's(?!h)|licen', 'c(?!h)'].join(''), 'i')
  assert.equal(found(others, files), [])
})

test('text becomes JSON in src/io alone', () => {
  const others = files.filter((name) => /^src\/(?!io\/(exact-)?json(-keys)?\.ts)/.test(name))
  assert.equal(found(/\bJSON\.parse\b/, others), [])
})

test('files get their names in io/atomic alone', () => {
  const others = files.filter((name) => /^src\/(?!io\/atomic\.ts)/.test(name))
  assert.equal(found(/\brename(Sync)?\b[^'"]*from 'node:fs|\bfs\.(promises\.)?rename/, others), [])
  assert.is(
    found(
      /\brename\b.*from 'node:fs/,
      files.filter((name) => /^src\//.test(name)),
    ).length,
    1,
  )
})

test('an exported name has one meaning', () => {
  const exported =
    /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|const|let|interface|type|enum) (\w+)/gm
  const places = new Map<string, string[]>()
  // The library's calls have the names of what they call; kernels are a program of their own.
  const others = files.filter((name) => /^src\/(?!library\/|kernels\/assembly\/)/.test(name))
  for (const name of others) {
    // Of a function with several signatures each is an export.
    for (const word of new Set([...textOf(name).matchAll(exported)].map((match) => match[1] ?? '')))
      places.set(word, [...(places.get(word) ?? []), name])
  }
  assert.ok(places.size > 500)
  assert.equal(
    [...places].filter(([, there]) => there.length > 1),
    [],
  )
})

test.run()
