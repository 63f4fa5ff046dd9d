import type { Json } from '../../src/io/json.js'
import { bytesMutator, type Mutator } from './mutate.js'
import type { Random } from './random.js'

const strings: readonly [string, ...string[]] = [
  '',
  ' ',
  'toString',
  '__proto__',
  'constructor',
  '\u0000',
  '\u001b[31m',
  '\u202e',
  '\ud800',
  '../x',
  'NaN',
  'F32',
  '-1',
  '1e400',
  'a'.repeat(3000),
]
const numbers: readonly [number, ...number[]] = [
  0,
  -0,
  1,
  -1,
  2,
  0.5,
  1e-46,
  1e-7,
  1e12,
  1e39,
  1e308,
  -1e308,
  255,
  65536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 64,
]

/** A mutator that takes JSON apart and puts other values in, and now and then forgets that it is JSON. */
export function jsonMutator(tokens: readonly string[] = []): Mutator {
  const asBytes = bytesMutator([
    ...tokens,
    '"',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    'null',
    'true',
    '1e5',
  ])
  return (bytes, other, random) => {
    if (random.oneIn(5)) return asBytes(bytes, other, random)
    const value = parsed(bytes)
    if (value === undefined) return asBytes(bytes, other, random)
    let changed = value
    for (let times = 1 + random.below(3); times > 0; times--) {
      changed = change(changed, parsed(other) ?? null, tokens, random)
    }
    const json = JSON.stringify(changed)
    return new TextEncoder().encode(random.oneIn(20) ? doubled(json, random) : json)
  }
}

function parsed(bytes: Uint8Array): Json | undefined {
  try {
    const value: Json = JSON.parse(new TextDecoder().decode(bytes))
    return value
  } catch {
    return undefined
  }
}

/** Changes one of the values, each with the same chance. */
function change(root: Json, other: Json, tokens: readonly string[], random: Random): Json {
  let left = random.below(count(root))
  const visit = (value: Json): Json => {
    if (left-- === 0) return another(value, other, tokens, random)
    if (left < 0) return value
    if (Array.isArray(value)) return value.map(visit)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visit(item)]))
  }
  return visit(root)
}

function count(value: Json): number {
  if (typeof value !== 'object' || value === null) return 1
  return Object.values(value).reduce<number>((sum, item) => sum + count(item), 1)
}

function another(value: Json, other: Json, tokens: readonly string[], random: Random): Json {
  if (Array.isArray(value) && !random.oneIn(4)) return anotherList(value, random)
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && !random.oneIn(4)) {
    return anotherObject(value, tokens, random)
  }
  if (typeof value === 'number' && random.oneIn(3)) return value + random.below(5) - 2
  switch (random.below(9)) {
    case 0:
      return null
    case 1:
      return random.oneIn(2)
    case 2:
      return random.of(numbers)
    case 3:
      return text(tokens, random)
    case 4:
      return [value]
    case 5:
      return { [text(tokens, random)]: value }
    case 6:
      return random.oneIn(2) ? {} : []
    case 7:
      return pick(other, random)
    default:
      return random.oneIn(8) ? nested(200) : { toString: 1, length: 3 }
  }
}

function anotherList(list: readonly Json[], random: Random): Json {
  const at = random.below(list.length + 1)
  switch (random.below(4)) {
    case 0:
      return list.filter((_, i) => i !== at)
    case 1:
      return [...list.slice(0, at), list[at] ?? 0, ...list.slice(at)]
    case 2:
      return list.toReversed()
    default:
      return list.slice(0, at)
  }
}

function anotherObject(
  object: { [key: string]: Json },
  tokens: readonly string[],
  random: Random,
): Json {
  const entries = Object.entries(object)
  const at = random.below(entries.length)
  const [key = '', value = null] = entries[at] ?? []
  switch (random.below(4)) {
    case 0:
      return Object.fromEntries(entries.filter((_, i) => i !== at))
    case 1:
      return { ...object, [text(tokens, random)]: value }
    case 2:
      return Object.fromEntries(
        entries.map(([each, item], i) => [i === at ? text(tokens, random) : each, item]),
      )
    default:
      return { [key]: object, ...object }
  }
}

function text(tokens: readonly string[], random: Random): string {
  return random.oneIn(2) ? random.of(strings) : (tokens[random.below(tokens.length)] ?? '')
}

/** A value from somewhere within another. */
function pick(value: Json, random: Random): Json {
  if (typeof value !== 'object' || value === null || random.oneIn(4)) return value
  const items = Object.values(value)
  return items.length === 0 ? value : pick(items[random.below(items.length)] ?? null, random)
}

function nested(levels: number): Json {
  return levels === 0 ? 0 : [nested(levels - 1)]
}

/** Some property stands there twice, which no object in memory can. */
function doubled(json: string, random: Random): string {
  const pairs = [...json.matchAll(/"[^"\\]*":(?:"[^"\\]*"|-?\d+|\[[^[\]{}]*\])/g)]
  const [pair] = pairs[random.below(pairs.length)] ?? []
  return pair === undefined ? json : json.replace(pair, () => `${pair},${pair}`)
}
