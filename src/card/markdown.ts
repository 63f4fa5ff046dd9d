/**
 * Text from files (names of models, files and tensors, what a model wrote) put
 * into Markdown so that it stays text: no heading, link, picture, table, HTML or
 * formula comes of it.
 */

/** Characters that turn text around, hide in it, or are none. */
const unshowable =
  /[\p{Cc}\p{Cs}\u00ad\u061c\u115f\u1160\u17b4-\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\u{e0000}-\u{e007f}]/gu

/** Names in a card have one line and some hundred characters at most. */
const longest = 300

/** A text in one line, every character of which can be seen. */
export function oneLine(text: string, limit = longest): string {
  // A name from a file may have megabytes; no character takes more than two units.
  const start = text.slice(0, 4096 + 2 * limit).trim()
  const shown = [...start.replace(unshowable, '\ufffd')]
  return shown.length <= limit ? shown.join('') : `${shown.slice(0, limit - 1).join('')}…`
}

/** Plain text within a paragraph, a heading or a cell of a table. */
export function plain(text: string): string {
  return (
    oneLine(text)
      .replace(/[\\`*[\]<>&|#~!$@{}^]/g, (character) =>
        character === '<' ? '&lt;' : character === '&' ? '&amp;' : `\\${character}`,
      )
      // A colon makes an address or an emoji only of what follows it.
      .replace(/:(?!\s)/g, '\\:')
      // Within words an underscore is one; a dot makes a link only after www.
      .replace(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, '\\_')
      .replace(/\b(www)\./gi, '$1\\.')
      // At its start a paragraph could be a list or an underline.
      .replace(/^([-+=])/, '\\$1')
      .replace(/^(\d+)([.)])/, '$1\\$2')
  )
}

/** Text as code. In a table's cell a bar needs its escape even in code. */
export function code(text: string): string {
  const shown = oneLine(text)
  if (shown === '') return '` `'
  // In a table a backslash would escape the bar's own escape; entities mean the same everywhere.
  if (/\\+\|/.test(shown)) return `<code>${shown.replace(/[^\p{L}\p{N} ]/gu, entity)}</code>`
  const runs = [...shown.matchAll(/`+/g)].map(([run]) => run.length)
  let ticks = 1
  while (runs.includes(ticks)) ticks++
  const fence = '`'.repeat(ticks)
  const pad = shown.startsWith('`') || shown.endsWith('`') ? ' ' : ''
  return `${fence}${pad}${shown}${pad}${fence}`
}

function entity(character: string): string {
  return `&#${character.codePointAt(0)};`
}

/** A block of code; the fence is longer than any in it. */
export function codeBlock(language: string, text: string): string {
  const runs = [...text.matchAll(/`+/g)].map(([run]) => run.length)
  const fence = '`'.repeat(Math.max(3, ...runs.map((run) => run + 1)))
  return `${fence}${language}\n${text.replace(/\n$/, '')}\n${fence}`
}

/** A link, or the text alone where the address is none of the web's. */
export function link(text: string, url: string): string {
  return /^https:\/\/[\w.~/%?=#&+:@-]+$/.test(url) ? `[${text}](${url})` : text
}

/**
 * A table. The cells are Markdown already.
 * @param right indexes of the columns with numbers
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replace(/(?<!\\)\|/g, '\\|')).join(' | ')} |`
  const rule = head.map((_, i) => (right.includes(i) ? '---:' : '---'))
  return [line(head), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n')
}

/** What a word is quoted as in a shell. */
export function shellWord(text: string): string {
  if (/^[\w./:@%+=-]+$/.test(text) && !text.startsWith('-')) return text
  // A line break would be another line of the block, and who copies it must see what it is.
  const whole = text.startsWith('-') ? `./${text}` : text
  if (whole.search(unshowable) === -1) return `'${whole.replaceAll("'", "'\\''")}'`
  const escaped = whole.replace(/[\\']/g, '\\$&').replace(unshowable, (character) => {
    const bytes = new TextEncoder().encode(character)
    return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
  })
  return `$'${escaped}'`
}

/** A string literal of Python and of JavaScript: JSON's, with everything unshowable escaped. */
export function literal(text: string): string {
  return JSON.stringify(text).replace(unshowable, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`,
    ).join(''),
  )
}
