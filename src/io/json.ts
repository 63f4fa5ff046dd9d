import { inputError } from './errors.js'
import { doubledKey, measure } from './json-keys.js'
import { readSmallFile } from './source.js'
import { refuseStandIns } from './stand-ins.js'

export type Json = null | boolean | number | string | Json[] | JsonObject
export type JsonObject = { [key: string]: Json }

export interface JsonOptions {
  /** A key that stands twice in one object is an error: what it is the key of decides bytes. */
  uniqueKeys?: boolean
  /** Objects, arrays and keys at most: each takes several times its bytes in memory. */
  maxParts?: number
}

/**
 * The one place in which text becomes JSON.
 * @throws SyntaxError for what is none
 */
export function parseJson(text: string): Json {
  // oxlint-disable-next-line typescript/no-unsafe-return -- what JSON.parse gives is JSON
  return JSON.parse(text)
}

/** The same, where what is none is left for what it is. */
export function parseJsonIfAny(text: string): Json | undefined {
  try {
    return parseJson(text)
  } catch {
    return undefined
  }
}

/**
 * Reads a small file that is a JSON object.
 * @param limit the size in bytes above which it is not believed to be one
 */
export async function readJsonObject(
  path: string,
  limit: number,
  options: JsonOptions = {},
): Promise<JsonObject> {
  return parseJsonObject(await readSmallFile(path, limit), path, options)
}

/** Parses a JSON object; whatever else the bytes are is an input error that names `path`. */
export function parseJsonObject(
  bytes: Uint8Array,
  path: string,
  { uniqueKeys = false, maxParts }: JsonOptions = {},
): JsonObject {
  const { parts, depth } = measure(bytes)
  if (maxParts !== undefined && parts > maxParts) {
    throw inputError(`it has ${parts} objects, lists and keys, at most ${maxParts} are read`, {
      path,
    })
  }
  let value: Json
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    value = parseJson(text)
  } catch (error) {
    if (bytes.length > 0) refuseStandIns(path, bytes.subarray(0, 512))
    const reason = error instanceof Error ? error.message : String(error)
    throw inputError(`it is not valid JSON: ${reason}`, {
      path,
      suggestions: ['It may be damaged or cut off: get it again, or mend it at that place.'],
      cause: error,
    })
  }
  if (!isJsonObject(value)) throw inputError('a JSON object is expected', { path })
  if (depth > maxDepth) {
    throw inputError(`it nests more than ${maxDepth} levels deep`, { path })
  }
  const twice = uniqueKeys ? doubledKey(text) : undefined
  if (twice !== undefined) throw inputError(`it has the key "${twice}" twice`, { path })
  return value
}

/**
 * The same of what Python's json module wrote, which has NaN, Infinity and -Infinity where JSON
 * has no numbers: they are read as texts of those names.
 */
export function parsePythonObject(bytes: Uint8Array, path: string): JsonObject {
  try {
    return parseJsonObject(bytes, path)
  } catch (error) {
    const quoted = quoteNonFinite(new TextDecoder().decode(bytes))
    if (quoted === undefined) throw error
    return parseJsonObject(new TextEncoder().encode(quoted), path)
  }
}

/** Puts quotes around those words outside texts; undefined where there are none. */
function quoteNonFinite(text: string): string | undefined {
  const word = /"|-?Infinity|NaN/g
  const inText = /["\\]/g
  let result = ''
  let copied = 0
  for (let match = word.exec(text); match !== null; match = word.exec(text)) {
    if (match[0] !== '"') {
      result += `${text.slice(copied, match.index)}"${match[0]}"`
      copied = word.lastIndex
      continue
    }
    inText.lastIndex = word.lastIndex
    for (let sign = inText.exec(text); sign !== null; sign = inText.exec(text)) {
      word.lastIndex = inText.lastIndex
      if (sign[0] === '"') break
      inText.lastIndex++
    }
  }
  return copied === 0 ? undefined : result + text.slice(copied)
}

/** What is parsed without end is still too deep to be written again. */
const maxDepth = 100

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** JSON as people read it: two spaces, a final newline. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/** A property of what may or may not be an object: parsed JSON that nobody has checked. */
export function property(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  const found: unknown = Reflect.get(value, key)
  return found
}

/** The elements of what may or may not be a list. */
export function itemsOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

/** The properties of what may or may not be an object. */
export function entriesOf(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : []
}

export function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
