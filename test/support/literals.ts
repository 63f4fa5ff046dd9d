import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'
import * as assert from 'uvu/assert'
import { root } from './paths.js'

/** The texts of a file's string literals and of its templates' parts, without those of types. */
export function literals(text: string): string[] {
  const { program, errors } = parseSync('a.ts', text)
  assert.equal(errors, [])
  const found: string[] = []
  const types = new Set<number>()
  // A type is come to before the literal in it.
  new Visitor({
    TSLiteralType: ({ literal }) => {
      types.add(literal.start)
    },
    Literal: ({ start, value }) => {
      if (typeof value === 'string' && !types.has(start)) found.push(value)
    },
    TemplateElement: ({ value }) => {
      found.push(value.cooked ?? value.raw)
    },
  }).visit(program)
  return found
}

/** The files of TypeScript in a folder of the project, without those of AssemblyScript. */
export function filesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return entry.name === 'assembly' ? [] : filesOf(path)
    return path.endsWith('.ts') ? [path] : []
  })
}
