import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { root } from './paths.js'

const ajv = new Ajv2020()
const compiled = new Map<string, ValidateFunction>()

/**
 * Holds what a command printed with --json against its schema, and the openllama.json that it
 * wrote. What is cut off, or no JSON, is for the test to judge.
 * @param name the schema's: `convert`, `gguf-set`
 * @throws where a field is missing, of another type, or not told in the schema
 */
export function holdToSchema(name: string, text: string): void {
  if (!existsSync(schemaPath(name))) return
  const json = parsed(text)
  if (json === undefined) return
  validate(name, json)
  const { out, schema } = { out: undefined, schema: undefined, ...json }
  if (name !== 'convert' || schema === undefined || typeof out !== 'string') return
  const record = join(out, 'openllama.json')
  if (existsSync(record)) validate('openllama', JSON.parse(readFileSync(record, 'utf8')))
}

/** The name of the schema for the words that a command line begins with. */
export function schemaOf([first = '', second = '']: readonly string[]): string {
  return first === 'gguf' || first === 'tokenizer' ? `${first}-${second}` : first
}

function validate(name: string, json: object): void {
  const known = compiled.get(name)
  const check = known ?? ajv.compile(JSON.parse(readFileSync(schemaPath(name), 'utf8')))
  compiled.set(name, check)
  if (check(json)) return
  const errors = ajv.errorsText(check.errors, { separator: '\n  ' })
  throw new Error(
    `this is not what schemas/ says of ${name}:\n  ${errors}\n${JSON.stringify(json)}`,
  )
}

function schemaPath(name: string): string {
  return join(root, 'schemas', `${name}.schema.json`)
}

function parsed(text: string): object | undefined {
  try {
    const json: unknown = JSON.parse(text)
    return typeof json === 'object' && json !== null ? json : undefined
  } catch {
    return undefined
  }
}
