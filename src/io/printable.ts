/**
 * Text from files and servers is data: what a terminal would obey, or what
 * nobody would see, is shown as an escape.
 */

/**
 * Control characters (C0, DEL, C1), format characters (bidirectional controls,
 * zero width, tags), line and paragraph separators, lone surrogates; and letters
 * that are blank.
 */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u115f\u1160\u3164\uffa0]|\u034f/gu
const unseenButLines = /(?!\n)(?:[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u115f\u1160\u3164\uffa0]|\u034f)/gu

/** A text in one line: `\n`, `\x1b` and `\u202e` in the place of what they stand for. */
export function printable(text: string): string {
  return text.replace(unseen, escaped)
}

/** The same for text whose line breaks are ours. */
export function printableLines(text: string): string {
  return text.replace(unseenButLines, escaped)
}

/** JSON text with the same characters as JSON's own escapes: the value stays as it is. */
export function printableJson(json: string): string {
  return json.replace(unseenButLines, (found) =>
    Array.from({ length: found.length }, (_, i) => unit(found.charCodeAt(i))).join(''),
  )
}

/**
 * A text of at most `most` characters: what is longer loses its middle.
 * A cut never leaves half of a character.
 */
export function shorten(text: string, most: number): string {
  if (text.length <= most) return text
  const tail = Math.floor((most - 1) / 3)
  let head = most - 1 - tail
  let from = text.length - tail
  if (isHigh(text.charCodeAt(head - 1))) head--
  if (isHigh(text.charCodeAt(from - 1))) from++
  return `${text.slice(0, head)}…${text.slice(from)}`
}

/** A name in one line of at most `most` characters, with escapes for what would not be seen. */
export function printableName(name: string, most: number): string {
  return shorten(printable(shorten(name, most)), most)
}

/**
 * A sentence in which text from files stands, in one line of at most `most` characters: words of
 * megabytes lose their middle before the sentence does.
 */
export function printableSentence(text: string, most: number): string {
  if (text.length <= most) return shorten(printable(text), most)
  // A pattern runs out of stack on words of megabytes.
  const near = shorten(text, 32 * most)
  const words = near.replace(/\S{161,}/g, (word) => shorten(word, 160))
  return printableName(words, most)
}

function escaped(found: string): string {
  if (found === '\n') return '\\n'
  if (found === '\r') return '\\r'
  if (found === '\t') return '\\t'
  const code = found.codePointAt(0) ?? 0
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`
  return code < 0x10000 ? unit(code) : `\\u{${code.toString(16)}}`
}

function unit(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`
}

function isHigh(code: number): boolean {
  return code >= 0xd800 && code < 0xdc00
}
