/** The front matter of a model card: its top-level fields that are a text or a list of texts. */
export type FrontMatter = ReadonlyMap<string, string | readonly string[]>

/**
 * Reads the YAML between the `---` lines at the start of a Markdown file, as far
 * as model cards use it: scalars, lists, and block texts at the top level. What
 * is nested deeper (evaluation results, widgets) is passed over; every scalar is
 * a text, so that the language `no` stays Norwegian.
 */
export function parseFrontMatter(markdown: string): FrontMatter {
  const [first, ...lines] = markdown.replace(/^\uFEFF/, '').split(/\r?\n/)
  const fields = new Map<string, string | readonly string[]>()
  if (first !== '---') return fields
  const end = lines.indexOf('---')
  const body = end === -1 ? [] : lines.slice(0, end)
  for (let i = 0; i < body.length; i++) {
    const match = /^([A-Za-z_][\w.-]*):(?:\s+(.*))?$/.exec(body[i] ?? '')
    if (match === null) continue
    const [, key = '', rest = ''] = match
    const inside: string[] = []
    while (i + 1 < body.length && /^(\s|- |-$|$)/.test(body[i + 1] ?? '')) {
      inside.push(body[i + 1] ?? '')
      i++
    }
    const value = fieldValue(withoutComment(rest), inside)
    if (value !== undefined) fields.set(key, value)
  }
  return fields
}

/** A field that is a list, or a single text taken as a list of one. */
export function listOf(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return []
  return typeof value === 'string' ? [value] : value
}

function fieldValue(
  rest: string,
  inside: readonly string[],
): string | readonly string[] | undefined {
  if (/^[|>][+-]?$/.test(rest)) {
    const text = inside.map((line) => line.trim()).join(rest.startsWith('|') ? '\n' : ' ')
    return text.trim()
  }
  if (rest.startsWith('[') && rest.endsWith(']')) {
    return rest
      .slice(1, -1)
      .split(',')
      .map(unquote)
      .filter((item) => item !== '')
  }
  if (rest !== '') return rest.startsWith('{') ? undefined : unquote(rest)
  const items = inside.filter((line) => line.trim() !== '')
  const texts = items.flatMap((line) => {
    const item = withoutComment(/^\s*-\s+(.*)$/.exec(line)?.[1] ?? '')
    // "name: x" begins a mapping, "https://x" does not.
    return item === '' || /^[\w.-]+:(\s|$)/.test(item) ? [] : [unquote(item)]
  })
  return items.length > 0 && texts.length === items.length ? texts : undefined
}

function withoutComment(text: string): string {
  return /^["']/.test(text) ? text.trim() : text.replace(/(^|\s)#.*$/, '').trim()
}

function unquote(text: string): string {
  const bare = text.trim()
  const quoted = /^"(.*)"$|^'(.*)'$/s.exec(bare)
  return quoted === null ? bare : (quoted[1] ?? quoted[2] ?? '')
}
