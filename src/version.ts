import { readFileSync } from 'node:fs'
import { parseJson, property } from './io/json.js'

/** This program's version, as package.json has it. */
export function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return String(property(parseJson(text), 'version'))
}
