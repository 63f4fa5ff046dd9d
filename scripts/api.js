// The library's surface as text: every name that src/index.ts exports, with its declaration, and
// every declaration that these speak of. Run by itself after a build it writes test/library/api.txt,
// in which each change of the surface shows; a test compares.
//
// What a conversion is made of inside, and the architectures' own data, are nothing that is promised:
// there the declarations end; and of tables only the names are of interest.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

const inside = new Set(['Conversion', 'architectures'])

/** @returns the surface that the declarations in dist/ have */
export function surfaceOf(dist = join(root, 'dist')) {
  const modules = new Map()
  const found = new Map()
  const entry = moduleAt('index.d.ts')
  const named = new Set([...entry.exported.values()].map(({ module, name }) => `${module} ${name}`))
  for (const [name, from] of entry.exported) take(from.module, from.name, name)
  return [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, text]) => text)
    .join('\n\n')
    .concat('\n')

  /** Takes a declaration, and all that it speaks of. */
  function take(module, name, as) {
    const { declared, imported, exported } = moduleAt(module)
    const elsewhere = imported.get(name) ?? exported.get(name)
    if (!declared.has(name))
      return elsewhere ? take(elsewhere.module, elsewhere.name, as) : undefined
    if (as === undefined && (inside.has(name) || named.has(`${module} ${name}`))) return
    const key = as === undefined ? `~ ${module} ${name}` : as
    if (found.has(key)) return
    const statement = declared.get(name).join('\n')
    const text = as === undefined ? withoutValues(statement) : statement
    const head = as === undefined ? `// ${module}` : `// exported as ${as}`
    found.set(key, `${head}\n${text}`)
    for (const [word] of text.matchAll(/[A-Za-z_]\w*/g)) {
      if (word !== name && (declared.has(word) || imported.has(word))) take(module, word)
    }
  }

  function moduleAt(path) {
    if (!modules.has(path)) modules.set(path, parse(readFileSync(join(dist, path), 'utf8'), path))
    return modules.get(path)
  }
}

/** Of a table its names. */
function withoutValues(statement) {
  if (!/^(export )?declare const \w+: \{\n/.test(statement)) return statement
  const lines = statement.split('\n')
  const names = lines.flatMap((line) => /^ {4}(?:readonly )?([\w']+)/.exec(line)?.[1] ?? [])
  return `${lines[0]} ${names.join(', ')} }`
}

/** The statements of a declaration file: each begins at the left margin, and has its comment before it. */
function parse(text, path) {
  const declared = new Map()
  const imported = new Map()
  const exported = new Map()
  const plain = text.replace(/^\s*\/\*\*[\s\S]*?\*\/\n/gm, '')
  for (const statement of plain.split(/\n(?=[a-z])/)) {
    const from = /^(import|export) (?:type )?\{([^}]*)\} from '(\.[^']*)'/.exec(statement)
    if (from) {
      const [, kind, names, file] = from
      const module = posix.join(posix.dirname(path), file.replace(/\.js$/, '.d.ts'))
      for (const each of names.split(',').filter((name) => name.trim() !== '')) {
        const [name, as = name] = each
          .trim()
          .replace(/^type /, '')
          .split(' as ')
        const map = kind === 'import' ? imported : exported
        map.set(as, { module, name })
      }
      continue
    }
    const name =
      /^(?:export )?(?:declare )?(?:abstract )?(?:function|class|interface|type|const) (\w+)/
    const [, own] = name.exec(statement) ?? []
    if (own === undefined) continue
    const overloads = declared.get(own) ?? []
    declared.set(own, [...overloads, statement.trim()])
  }
  return { declared, imported, exported }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(join(root, 'test', 'library', 'api.txt'), surfaceOf())
}
