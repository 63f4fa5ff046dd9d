import { type Document, isAlias, isMap, isScalar, isSeq, type ParsedNode, type Scalar } from 'yaml'
import { inputError } from './errors.js'
import { parseYaml } from './yaml.js'

/** The front matter of a model card: its top-level fields that are a text or a list of texts. */
export type FrontMatter = ReadonlyMap<string, string | readonly string[]>

/** Where the YAML of a Markdown file is. */
export interface FrontMatterPlace {
  /** Behind the first line of `---`. */
  begin: number
  /** Where the second one begins, and what follows it. */
  end: number
  after: number
}

/**
 * Finds front matter as the Hub does: between two lines of `---` at the start of the file, which
 * blank lines may precede. One look at each character, however odd the text is.
 */
export function findFrontMatter(markdown: string): FrontMatterPlace | undefined {
  const first = /\uFEFF?\s*---[ \t]*\r?\n/y
  if (!first.test(markdown)) return undefined
  const begin = first.lastIndex
  const last = /---[ \t]*(?:\r?\n|$)/y
  for (let at = begin; at < markdown.length; ) {
    last.lastIndex = at
    if (last.test(markdown)) return { begin, end: at, after: last.lastIndex }
    const line = markdown.indexOf('\n', at)
    if (line === -1) return undefined
    at = line + 1
  }
  return undefined
}

/**
 * Reads the front matter of a Markdown file as far as conversions use it: texts and lists of texts
 * at the top level. What is nested deeper (evaluation results, widgets) is passed over; every
 * scalar is a text, so that the language `no` stays Norwegian.
 * @throws input error for YAML that is none
 */
export function parseFrontMatter(markdown: string, path: string): FrontMatter {
  const fields = new Map<string, string | readonly string[]>()
  const place = findFrontMatter(markdown)
  if (place === undefined) return fields
  const yaml = markdown.slice(place.begin, place.end)
  const firstLine = markdown.slice(0, place.begin).split('\n').length
  const doc = parseYaml(yaml, path, { schema: 'failsafe', firstLine })
  if (doc.contents === null || isScalar(doc.contents)) return fields
  if (!isMap(doc.contents)) throw inputError('its YAML is no list of keys with values', { path })
  for (const { key, value } of doc.contents.items) {
    if (!isScalar(key)) continue
    const read = fieldValue(value, doc)
    if (read !== undefined) fields.set(String(key.value), read)
  }
  return fields
}

/** A field that is a list, or a single text taken as a list of one. */
export function fieldList(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return []
  return typeof value === 'string' ? [value] : value
}

function fieldValue(
  named: ParsedNode | null,
  doc: Document.Parsed,
): string | readonly string[] | undefined {
  const node = isAlias(named) ? named.resolve(doc) : named
  if (isScalar(node)) return textOf(node)
  if (!isSeq(node)) return undefined
  const items = node.items.map((item) => (isAlias(item) ? item.resolve(doc) : item))
  const texts = items.flatMap((item) => (isScalar(item) ? [textOf(item) ?? ''] : []))
  return texts.length === items.length ? texts.filter((text) => text !== '') : undefined
}

/** Undefined for what is left empty, in any of the ways that YAML has for it. */
function textOf({ value, type }: Scalar): string | undefined {
  const plain = typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint'
  const text = typeof value === 'string' ? value.trim() : plain ? String(value) : ''
  if (type === 'PLAIN' && /^(?:~|null)?$/i.test(text)) return undefined
  return text
}
