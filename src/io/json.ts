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
  return value
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** JSON as people read it: two spaces, a final newline. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
