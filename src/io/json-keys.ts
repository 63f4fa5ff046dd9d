/**
 * The first key that stands twice in one of a JSON text's objects, of which every parser takes the
 * one or the other; undefined where there is none.
 * @param text valid JSON
 */
export function doubledKey(text: string): string | undefined {
  const open: Set<string>[] = []
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case brace:
        open.push(new Set())
        break
      case braceEnd:
        open.pop()
        break
      case quote: {
        const end = endOfText(text, at + 1)
        if (isKey(text, end + 1)) {
          const raw = text.slice(at + 1, end)
          const key = raw.includes('\\') ? unescaped(text.slice(at, end + 1)) : raw
          const keys = open.at(-1)
          if (keys?.has(key)) return key
          keys?.add(key)
        }
        at = end
      }
    }
  }
  return undefined
}

/** What JSON has in it, told without reading it; of other text it is any number. */
export function measure(bytes: Uint8Array): { parts: number; depth: number } {
  let parts = 0
  let depth = 0
  let deepest = 0
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case quote:
        for (at++; at < bytes.length && bytes[at] !== quote; at++) {
          if (bytes[at] === backslash) at++
        }
        break
      case brace:
      case bracket:
        parts++
        depth++
        if (depth > deepest) deepest = depth
        break
      case braceEnd:
      case bracketEnd:
        depth--
        break
      case colon:
        parts++
    }
  }
  return { parts, depth: deepest }
}

const quote = 0x22
const backslash = 0x5c
const bracket = 0x5b
const bracketEnd = 0x5d
const brace = 0x7b
const braceEnd = 0x7d
const colon = 0x3a
const space = 0x20

/** Where the quotation mark is that ends a text. */
function endOfText(text: string, from: number): number {
  let at = from
  for (;;) {
    const code = text.charCodeAt(at)
    if (code === quote || at >= text.length) return at
    at += code === backslash ? 2 : 1
  }
}

function isKey(text: string, from: number): boolean {
  let at = from
  while (text.charCodeAt(at) <= space) at++
  return text.charCodeAt(at) === colon
}

function unescaped(quoted: string): string {
  const text: unknown = JSON.parse(quoted)
  return String(text)
}
