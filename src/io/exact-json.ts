import { isJsonObject, type Json, type JsonObject } from './json.js'

/**
 * JSON that is written as it was read: numbers keep their spelling (4.0, 1e-05, integers beyond
 * 2^53), and objects the order of their keys. To Python 4.0 is another type than 4.
 */
export type ExactJson =
  | null
  | boolean
  | string
  | SpelledNumber
  | readonly ExactJson[]
  | ReadonlyMap<string, ExactJson>

export interface SpelledNumber {
  readonly spelled: string
}

/** @param text that `parseJsonObject` has taken: it is valid, and not nested without end */
export function parseExactJson(text: string): ExactJson {
  const cursor = { text, offset: 0 }
  const value = readValue(cursor)
  skipSpace(cursor)
  if (cursor.offset !== text.length) throw new SyntaxError(`more JSON at ${cursor.offset}`)
  return value
}

/** Two spaces, a final newline. */
export function formatExactJson(value: ExactJson): string {
  return `${write(value, '\n')}\n`
}

/**
 * A value with the spelling that its numbers have at the same place of `source`, where they are
 * still the same numbers.
 * @param floats names of fields that Python wants as floats: whole numbers get a point there,
 *   where no source spells them
 */
export function spelledAs(
  value: Json,
  source?: ExactJson,
  floats: ReadonlySet<string> = new Set(),
  name = '',
): ExactJson {
  if (typeof value === 'number') {
    if (isSpelled(source) && Number(source.spelled) === value) return source
    const spelled = JSON.stringify(value)
    return { spelled: floats.has(name) && /^-?\d+$/.test(spelled) ? `${spelled}.0` : spelled }
  }
  if (Array.isArray(value)) {
    const items = isList(source) ? source : []
    return value.map((item, i) => spelledAs(item, items[i], floats))
  }
  if (isJsonObject(value)) {
    const fields = isExactObject(source) ? source : new Map<string, ExactJson>()
    return new Map(
      Object.entries(value).map(([key, item]) => [
        key,
        spelledAs(item, fields.get(key), floats, key),
      ]),
    )
  }
  return value
}

/** An object's fields with numbers as numbers. */
export function plainFields(value: ReadonlyMap<string, ExactJson>): JsonObject {
  return Object.fromEntries([...value].map(([key, item]) => [key, plainJson(item)]))
}

function plainJson(value: ExactJson): Json {
  if (isSpelled(value)) return Number(value.spelled)
  if (isExactObject(value)) return plainFields(value)
  return isList(value) ? value.map(plainJson) : value
}

export function isExactObject(
  value: ExactJson | undefined,
): value is ReadonlyMap<string, ExactJson> {
  return value instanceof Map
}

export function isSpelled(value: ExactJson | undefined): value is SpelledNumber {
  return typeof value === 'object' && value !== null && 'spelled' in value
}

function isList(value: ExactJson | undefined): value is readonly ExactJson[] {
  return Array.isArray(value)
}

interface Cursor {
  readonly text: string
  offset: number
}

function readValue(cursor: Cursor): ExactJson {
  skipSpace(cursor)
  switch (cursor.text[cursor.offset]) {
    case '{':
      return readObject(cursor)
    case '[':
      return readList(cursor)
    case '"':
      return readText(cursor)
  }
  const [word = ''] = match(cursor, /[^\s,\]}]+/y)
  if (word === 'null') return null
  if (word === 'true' || word === 'false') return word === 'true'
  return { spelled: word }
}

function readObject(cursor: Cursor): ReadonlyMap<string, ExactJson> {
  const fields = new Map<string, ExactJson>()
  for (const _ of items(cursor, '}')) {
    const key = readText(cursor)
    skipSpace(cursor)
    match(cursor, /:/y)
    fields.set(key, readValue(cursor))
  }
  return fields
}

function readList(cursor: Cursor): readonly ExactJson[] {
  const list: ExactJson[] = []
  for (const _ of items(cursor, ']')) list.push(readValue(cursor))
  return list
}

/** Stands before each item of what begins here, up to its end. */
function* items(cursor: Cursor, end: string): Generator<void> {
  do {
    cursor.offset++
    skipSpace(cursor)
    if (cursor.text[cursor.offset] === end) break
    yield
    skipSpace(cursor)
  } while (cursor.text[cursor.offset] === ',')
  cursor.offset++
}

function readText(cursor: Cursor): string {
  const { text, offset } = cursor
  let end = offset + 1
  while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1
  cursor.offset = end + 1
  const value: unknown = JSON.parse(text.slice(offset, end + 1))
  return String(value)
}

function skipSpace(cursor: Cursor): void {
  match(cursor, /\s*/y)
}

function match(cursor: Cursor, pattern: RegExp): RegExpExecArray {
  pattern.lastIndex = cursor.offset
  const found = pattern.exec(cursor.text)
  if (found === null) throw new SyntaxError(`no JSON at ${cursor.offset}`)
  cursor.offset += found[0].length
  return found
}

function write(value: ExactJson, newline: string): string {
  if (isSpelled(value)) return value.spelled
  const inner = `${newline}  `
  if (isList(value)) {
    const lines = value.map((item) => inner + write(item, inner))
    return lines.length === 0 ? '[]' : `[${lines.join(',')}${newline}]`
  }
  if (isExactObject(value)) {
    const lines = [...value].map(
      ([key, item]) => `${inner}${JSON.stringify(key)}: ${write(item, inner)}`,
    )
    return lines.length === 0 ? '{}' : `{${lines.join(',')}${newline}}`
  }
  return JSON.stringify(value)
}
