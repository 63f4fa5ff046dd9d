import { type Document, isMap, isNode, isScalar, isSeq, type Pair } from 'yaml'
import { inputError } from '../io/errors.js'
import { findFrontMatter } from '../io/front-matter.js'
import { isJsonObject, type Json, type JsonObject } from '../io/json.js'
import { parseYaml, yamlToJson } from '../io/yaml.js'
import { toYaml } from './yaml.js'

/** A card in its two halves. */
export interface CardText {
  /** What stands before and behind the YAML: the lines of `---`. */
  before: string
  yaml: string
  after: string
  body: string
}

/** What is to become of a key. */
export type FieldChange =
  /** It has this value, whatever it had. */
  | { key: string; set: Json }
  /** It has this value where it has none. */
  | { key: string; fill: Json }
  /** Its list has these too. */
  | { key: string; add: readonly string[] }
  /** It is not there, if this is its value. */
  | { key: string; dropIf: Json }

/** Splits a card as the Hub does: YAML between two lines of `---` at the start of the file. */
export function splitCard(text: string, newline: string): CardText {
  const place = findFrontMatter(text)
  if (place !== undefined) {
    const { begin, end, after } = place
    return {
      before: text.slice(0, begin),
      yaml: text.slice(begin, end),
      after: text.slice(end, after),
      body: text.slice(after),
    }
  }
  const mark = text.startsWith('\uFEFF') ? '\uFEFF' : ''
  const body = text.slice(mark.length)
  return {
    before: `${mark}---${newline}`,
    yaml: '',
    after: `---${newline}`,
    body: body === '' || /^\r?\n/.test(body) ? body : newline + body,
  }
}

/**
 * Reads the YAML of a card.
 * @throws input error for YAML that is none, and for anything but a mapping
 */
export function readFrontMatter(yaml: string, path: string): JsonObject {
  return toObject(parse(yaml, path), path)
}

/**
 * Changes keys in YAML. Only the text of a key that changes is replaced; comments,
 * order, quotes and blank lines of everything else stay as they are, byte for byte.
 */
export function editFrontMatter(
  yaml: string,
  changes: readonly FieldChange[],
  newline: string,
  path: string,
): string {
  let text = yaml
  for (const change of changes) {
    const edited = edit(text, change, newline, path)
    if (edited !== text) verify(text, edited, change.key, path)
    text = edited
  }
  return text
}

function edit(text: string, change: FieldChange, newline: string, path: string): string {
  const doc = parse(text, path)
  const there = toObject(doc, path)[change.key]
  const wanted = wantedValue(change, there)
  if (same(there, wanted)) return text
  const pair = pairOf(doc, change.key)
  if (pair === undefined) {
    if (wanted === undefined) return text
    const gap = text === '' || text.endsWith('\n') ? '' : newline
    return text + gap + rendered(change.key, wanted, newline)
  }
  const [start, end] = rangeOf(pair, text)
  if (wanted === undefined) {
    const next = text.indexOf('\n', end)
    return text.slice(0, start) + (next === -1 ? '' : text.slice(next + 1))
  }
  if ('add' in change) {
    const added = addItems(pair, text, change.add.filter(lacking(there)), newline)
    if (added !== undefined) return added
  }
  const value = rendered(change.key, wanted, newline).replace(/\r?\n$/, '')
  return text.slice(0, start) + value + text.slice(end)
}

/** What the key is to have; undefined for a key that is to go, or not to come. */
function wantedValue(change: FieldChange, there: Json | undefined): Json | undefined {
  if ('set' in change) return change.set
  if ('fill' in change) return isEmpty(there) ? change.fill : there
  if ('add' in change) {
    const list = isEmpty(there) ? [] : Array.isArray(there) ? there : [there ?? null]
    const all = [...list, ...change.add.filter(lacking(there))]
    return all.length === list.length ? there : all
  }
  return same(there, change.dropIf) ? undefined : there
}

function isEmpty(value: Json | undefined): boolean {
  return value === undefined || value === null || value === ''
}

function lacking(there: Json | undefined): (item: string) => boolean {
  const list = Array.isArray(there) ? there : [there]
  return (item) => !list.includes(item)
}

/** Adds to a list without touching what is in it, comments between its items included. */
function addItems(
  pair: Pair,
  text: string,
  items: readonly string[],
  newline: string,
): string | undefined {
  const list = pair.value
  if (!isSeq(list) || !list.range) return undefined
  const last = list.items.at(-1)
  if (list.flow === true) {
    const end = list.range[1] - 1
    // Between brackets commas count too.
    const shown = items.map((item) => JSON.stringify(item)).join(', ')
    const before = text.slice(0, end).trimEnd()
    const comma = list.items.length === 0 || before.endsWith(',') ? '' : ', '
    return before + comma + shown + text.slice(before.length)
  }
  if (!isNode(last) || !last.range) return undefined
  const dash = text.lastIndexOf('\n', list.range[0]) + 1
  const indent = /^[ ]*/.exec(text.slice(dash))?.[0] ?? ''
  // Behind the comment of the last item's line.
  const line = text.indexOf('\n', Math.max(last.range[0], last.range[1] - 1))
  const at = line === -1 ? text.length : line + 1
  const gap = line === -1 ? newline : ''
  const lines = items.map((item) => `${indent}- ${toYaml(item).trim()}${newline}`).join('')
  return text.slice(0, at) + gap + lines + text.slice(at)
}

/** A key with its value as a block of lines. */
function rendered(key: string, value: Json, newline: string): string {
  return toYaml({ [key]: value }).replaceAll('\n', newline)
}

/** From the key to the end of its value, without comments and line ends that follow. */
function rangeOf({ key, value }: Pair, text: string): [number, number] {
  const start = isNode(key) ? (key.range?.[0] ?? 0) : 0
  const keyEnd = isNode(key) ? (key.range?.[1] ?? start) : start
  const colon = text.indexOf(':', keyEnd) + 1
  const end = isNode(value) && value.range ? Math.max(value.range[1], colon) : colon
  return [start, start + text.slice(start, end).trimEnd().length]
}

function pairOf(doc: Document.Parsed, key: string): Pair | undefined {
  if (!isMap(doc.contents)) return undefined
  return doc.contents.items.find((pair) => isScalar(pair.key) && pair.key.value === key)
}

/** Everything but the one key is as it was: otherwise the YAML has a form that cannot be edited. */
function verify(before: string, after: string, key: string, path: string): void {
  const rest = (text: string) => {
    const { [key]: _, ...others } = readFrontMatter(text, path)
    return others
  }
  let kept = false
  try {
    kept = same(rest(before), rest(after))
  } catch {}
  if (kept) return
  throw inputError(`"${key}" in its YAML cannot be changed without changing other keys`, {
    path,
    suggestions: ['Write the YAML with one key on each line, without anchors, and try again.'],
  })
}

function parse(yaml: string, path: string): Document.Parsed {
  // The first line of the file is `---`.
  const doc = parseYaml(yaml, path, { firstLine: 2 })
  if (doc.contents !== null && !isMap(doc.contents) && !isNull(doc)) {
    throw inputError('its YAML is no list of keys with values', { path })
  }
  if (isMap(doc.contents) && doc.contents.flow === true && doc.contents.items.length > 0) {
    throw inputError('its YAML is in braces, keys on lines of their own are expected', { path })
  }
  return doc
}

function isNull(doc: Document.Parsed): boolean {
  return isScalar(doc.contents) && doc.contents.value === null
}

function toObject(doc: Document.Parsed, path: string): JsonObject {
  const value = isMap(doc.contents) ? yamlToJson(doc, path) : {}
  return isJsonObject(value) ? value : {}
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
