import { inputError } from './errors.js'

export type Json = null | boolean | number | string | Json[] | JsonObject
export type JsonObject = { [key: string]: Json }

/** Parses a JSON object; whatever else the bytes are is an input error that names `path`. */
export function parseJsonObject(bytes: Uint8Array, path: string): JsonObject {
  let value: Json
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw inputError(`it is not valid JSON: ${reason}`, { path, cause: error })
  }
  if (!isJsonObject(value)) throw inputError('a JSON object is expected', { path })
  if (isDeeper(value, maxDepth)) {
    throw inputError(`it nests more than ${maxDepth} levels deep`, { path })
  }
  return value
}

/** What is parsed without end is still too deep to be written again. */
const maxDepth = 100

function isDeeper(value: Json, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((each) => isDeeper(each, levels - 1))
}

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
