import { OpenLlamaError } from '../../src/io/errors.js'

/** What must not be, and the input that shows it. */
export interface Finding {
  /** The same for the same fault. */
  key: string
  detail: string
  bytes: Uint8Array
}

/** No error of ours has more. */
const longestMessage = 2000

/** What is wrong with how a parser ended; undefined where an error is as it should be. */
export function faultOf(error: unknown): { key: string; detail: string } | undefined {
  if (error instanceof OpenLlamaError) {
    const { message, suggestions } = error
    const length = Math.max(message.length, suggestions.join('\n').length)
    if (length <= longestMessage) return undefined
    return { key: `a message of ${length} characters`, detail: message }
  }
  if (!(error instanceof Error)) return { key: 'thrown: no error', detail: String(error) }
  const detail = error.stack ?? error.message
  // The place is the program's own, where there is one.
  const lines = detail.split('\n').filter((line) => line.trim().startsWith('at '))
  const own = lines.find((line) => line.includes('/src/')) ?? lines[0] ?? ''
  const place = /([^/\\(]+:\d+):\d+\)?$/.exec(own)?.[1] ?? ''
  return { key: `${error.name} at ${place}`, detail }
}
