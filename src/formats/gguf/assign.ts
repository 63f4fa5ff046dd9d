import type { MetadataEntry, MetadataValue } from '../../checkpoint/metadata.js'
import { usageError } from '../../io/errors.js'
import { parseJsonIfAny } from '../../io/json.js'
import { typesOf } from './keys.js'
import { holdsBig, holdsNumber, isBigType, isNumberType, scalarTypes } from './value.js'

/** A change of metadata as users write it: `key=value`, or `key:type=value`. */
export interface KeyAssignment {
  key: string
  type?: MetadataValue['type']
  text: string
}

const types: readonly MetadataValue['type'][] = scalarTypes.flatMap(
  (type): MetadataValue['type'][] => [type, `${type}[]`],
)

/**
 * Takes an assignment apart.
 * @throws usage error where it is none, or its type is none of GGUF's
 */
export function parseAssignment(argument: string): KeyAssignment {
  const match = /^([^=:\s]+)(?::([a-z0-9]+(?:\[\])?))?=(.*)$/s.exec(argument)
  if (match === null) {
    throw usageError(`"${argument}" is no change of metadata`, {
      suggestions: [
        'Write key=value, such as general.license=apache-2.0, or key:type=value, such as llama.context_length:uint32=4096.',
      ],
    })
  }
  const [, key = '', named, text = ''] = match
  if (named === undefined) return { key, text }
  const type = types.find((name) => name === named)
  if (type === undefined) {
    throw usageError(`"${named}" is no type of GGUF's`, {
      suggestions: [`There are ${scalarTypes.join(', ')}, and arrays of each, such as string[].`],
    })
  }
  return { key, type, text }
}

/**
 * The entry that an assignment makes. A type that is not written is that of the
 * entry that is replaced, or what the key has by GGUF's documentation, or what
 * the value looks like.
 * @throws usage error where the value is none of the type
 */
export function entryOf({ key, type, text }: KeyAssignment, before?: MetadataValue): MetadataEntry {
  const resolved = type ?? before?.type ?? typesOf(key)?.[0] ?? likelyType(key, text)
  if (!resolved.endsWith('[]')) return { key, ...scalar(key, resolved, text) }
  const element = resolved.slice(0, -2)
  const values = elementsOf(key, text).map((item) => scalar(key, element, item))
  return { key, ...arrayOf(key, element, values) }
}

/** Puts entries in the place of those with their keys, and new ones at the end. */
export function assign(
  entries: readonly MetadataEntry[],
  assignments: readonly KeyAssignment[],
): MetadataEntry[] {
  const result = [...entries]
  for (const assignment of assignments) {
    const at = result.findIndex(({ key }) => key === assignment.key)
    const entry = entryOf(assignment, result[at])
    if (at === -1) result.push(entry)
    else result[at] = entry
  }
  return result
}

function likelyType(key: string, text: string): MetadataValue['type'] {
  // A version "2" is a text; so is all that describes a model.
  if (key.startsWith('general.') && !key.startsWith('general.sampling.')) return 'string'
  if (text === 'true' || text === 'false') return 'bool'
  if (/^[+-]?\d+$/.test(text)) {
    const number = Number(text)
    if (number < 0) return holdsNumber('int32', number) ? 'int32' : 'int64'
    return holdsNumber('uint32', number) ? 'uint32' : 'uint64'
  }
  return text.trim() !== '' && Number.isFinite(Number(text)) ? 'float32' : 'string'
}

function scalar(key: string, type: string, text: string): MetadataValue {
  if (type === 'string') return { type, value: text }
  if (type === 'bool') {
    if (text !== 'true' && text !== 'false') throw wrongValue(key, type, text, 'true or false')
    return { type, value: text === 'true' }
  }
  if (isBigType(type)) {
    const value = /^[+-]?\d+$/.test(text) ? BigInt(text) : undefined
    if (value === undefined || !holdsBig(type, value)) {
      throw wrongValue(key, type, text, 'a whole number in its range')
    }
    return { type, value }
  }
  if (!isNumberType(type)) throw new Error(`no values of type ${type}`)
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (Number.isNaN(value) || !holdsNumber(type, value)) {
    const expected = type.startsWith('float') ? 'a number' : 'a whole number in its range'
    throw wrongValue(key, type, text, expected)
  }
  return { type, value }
}

/** Elements by a JSON array, or separated by commas. */
function elementsOf(key: string, text: string): string[] {
  if (!text.trim().startsWith('[')) {
    return text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '')
  }
  const parsed = parseJsonIfAny(text)
  if (Array.isArray(parsed)) return parsed.map(String)
  throw wrongValue(key, 'array', text, 'a JSON array, or values separated by commas,')
}

function arrayOf(key: string, element: string, values: readonly MetadataValue[]): MetadataValue {
  const of = <T>(
    pick: (value: MetadataValue['value']) => value is MetadataValue['value'] & T,
  ): T[] => values.map(({ value }) => value).filter(pick)
  if (element === 'string') return { type: 'string[]', value: of((v) => typeof v === 'string') }
  if (element === 'bool') return { type: 'bool[]', value: of((v) => typeof v === 'boolean') }
  if (isBigType(element)) return { type: `${element}[]`, value: of((v) => typeof v === 'bigint') }
  if (!isNumberType(element)) throw new Error(`"${key}": no arrays of ${element}`)
  return { type: `${element}[]`, value: of((v) => typeof v === 'number') }
}

function wrongValue(key: string, type: string, text: string, expected: string): Error {
  return usageError(`${key} (${type}) would be "${text}", ${expected} is expected`)
}
