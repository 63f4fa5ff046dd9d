/** A value that `stringify` writes; a Map is an object whose keys keep their order. */
export type OrderedJson =
  | string
  | number
  | boolean
  | null
  | readonly OrderedJson[]
  | ReadonlyMap<string, OrderedJson>
  | { readonly [key: string]: OrderedJson | undefined }

/**
 * JSON with two spaces of indent and a newline at the end, as `save_pretrained`
 * writes it. Unlike JSON.stringify it keeps the order of keys that look like
 * numbers (a vocabulary's "0" to "9"), so that a vocabulary reads in order of ids.
 */
export function stringify(value: OrderedJson): string {
  return `${write(value, '\n')}\n`
}

function write(value: OrderedJson, newline: string): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  const inner = `${newline}  `
  if (isList(value)) {
    return wrap(
      '[',
      ']',
      newline,
      value.map((item) => inner + write(item, inner)),
    )
  }
  const entries = isMap(value) ? [...value] : Object.entries(value)
  const lines: string[] = []
  for (const [key, item] of entries) {
    if (item !== undefined) lines.push(`${inner}${JSON.stringify(key)}: ${write(item, inner)}`)
  }
  return wrap('{', '}', newline, lines)
}

function wrap(open: string, close: string, newline: string, lines: readonly string[]): string {
  return lines.length === 0 ? open + close : open + lines.join(',') + newline + close
}

function isList(value: object): value is readonly OrderedJson[] {
  return Array.isArray(value)
}

function isMap(value: object): value is ReadonlyMap<string, OrderedJson> {
  return value instanceof Map
}
