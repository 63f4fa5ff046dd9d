import { inputError } from './errors.js'

/** Turns the bytes of a text file into text, piece by piece. */
export interface TextReader {
  /** @throws input error for bytes that no text in UTF-8 has */
  read(bytes: Uint8Array): string
  end(): string
}

/**
 * Reads what must be a text in UTF-8: another file would silently become a text of replacement
 * characters, of which whatever is measured says nothing.
 */
export function textReader(path: string): TextReader {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let position = 0
  const decode = (bytes: Uint8Array, stream: boolean) => {
    const nul = bytes.indexOf(0)
    if (nul !== -1) {
      throw noText(`it is no text: byte ${position + nul} is 0`, path, isUtf16(bytes, position))
    }
    try {
      const text = decoder.decode(bytes, { stream })
      position += bytes.length
      return text
    } catch (cause) {
      const where = `${position} to ${position + bytes.length}`
      const what = `it is no text in UTF-8: there are other bytes in ${where}`
      throw noText(what, path, isUtf16(bytes, position), cause)
    }
  }
  return { read: (bytes) => decode(bytes, true), end: () => decode(new Uint8Array(0), false) }
}

/** The text of a whole file, without a byte order mark. */
export function textOf(bytes: Uint8Array, path: string): string {
  const reader = textReader(path)
  return (reader.read(bytes) + reader.end()).replace(/^\uFEFF/, '')
}

function isUtf16(bytes: Uint8Array, position: number): boolean {
  const [first, second] = bytes
  return (
    position === 0 && ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
  )
}

function noText(what: string, path: string, utf16: boolean, cause?: unknown): Error {
  return inputError(what, {
    path,
    suggestions: [utf16 ? 'It is UTF-16: save it in UTF-8.' : 'Give a text file, in UTF-8.'],
    cause,
  })
}
