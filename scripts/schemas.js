// JSON Schemas of what commands give with --json, and of openllama.json, made from the types in
// src/cli/json.ts, as the build declares them. Run by itself after a build it writes schemas/, which a test compares. The generator brings a
// TypeScript of its own: it needs a compiler's API, which ours has no more.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createGenerator } from 'ts-json-schema-generator'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** @returns file → its text, of all schemas */
export function schemaFiles(dist = join(root, 'dist')) {
  const { definitions } = createGenerator({
    path: join(dist, 'cli', 'json.d.ts'),
    tsconfig: join(root, 'tsconfig.json'),
    type: 'Schemas',
    skipTypeCheck: true,
    encodeRefs: false,
    additionalProperties: false,
  }).createSchema('Schemas')
  return new Map(
    Object.entries(definitions.Schemas.properties).map(([name, schema]) => [
      name === 'openllama.json' ? 'openllama.schema.json' : `${name}.schema.json`,
      `${JSON.stringify(documentOf(name, schema, definitions), null, 2)}\n`,
    ]),
  )
}

/** One schema with the definitions that it speaks of. */
function documentOf(name, schema, definitions) {
  const used = new Map()
  const body = modern(schema, (each) => {
    if (used.has(each)) return
    used.set(each, undefined)
    used.set(
      each,
      modern(definitions[each], (other) => pending.push(other)),
    )
  })
  while (pending.length > 0) {
    const each = pending.pop()
    if (used.has(each)) continue
    used.set(
      each,
      modern(definitions[each], (other) => pending.push(other)),
    )
  }
  const title = name === 'openllama.json' ? name : `openllama ${name.replace('-', ' ')} --json`
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title,
    ...body,
    $defs: Object.fromEntries([...used].sort(([a], [b]) => (a < b ? -1 : 1))),
  }
}

const pending = []

/** A schema of draft 7 as 2020-12 has it; says which definitions it refers to. */
function modern(schema, onReference) {
  if (Array.isArray(schema)) return schema.map((each) => modern(each, onReference))
  if (typeof schema !== 'object' || schema === null) return schema
  const { items, $ref, ...rest } = schema
  const { additionalItems: _, ...others } = rest
  const result = Object.fromEntries(
    Object.entries(others).map(([key, value]) => [key, modern(value, onReference)]),
  )
  if ($ref !== undefined) {
    const name = $ref.replace('#/definitions/', '')
    onReference(name)
    result.$ref = `#/$defs/${name}`
  }
  if (Array.isArray(items)) {
    result.prefixItems = modern(items, onReference)
    result.items = false
  } else if (items !== undefined) result.items = modern(items, onReference)
  return result
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(join(root, 'schemas'), { recursive: true })
  for (const [name, text] of schemaFiles()) writeFileSync(join(root, 'schemas', name), text)
}
