import { findSecrets, ownToken, type Secret } from './secrets.js'

/**
 * Bytes that are held over from one look to the next, so that what two looks share is found: longer
 * than any secret's beginning by which it is known.
 */
const overlap = 16 * 1024

/** What precedes a secret tells whether it is one; so much of it is looked at. */
const before = 256

/** No secret is shorter; bytes that happen to be letters seldom come in such runs. */
const shortestRun = 16

/** Secrets in bytes of any kind, whole or in pieces. */
export interface SecretScan {
  /** Bytes are to come in their order. */
  look(bytes: Uint8Array): void
  end(): { what: string; place: string }[]
}

/**
 * Looks for secrets in whatever a file is made of: the text of texts, in UTF-8 or UTF-16, and runs
 * of letters in weights, where headers and metadata are. Everything that is looked for is ASCII.
 * @param own values that must be in no file
 */
export function scanSecrets(own: readonly string[]): SecretScan {
  const wide = own.map((value) => Buffer.from(value, 'utf16le'))
  const found = new Map<number, string>()
  let kept: Uint8Array = new Uint8Array(0)
  /** Of the first byte of `kept` in the file. */
  let position = 0
  let isFirst = true
  /** Line feeds before `position`, while there is no zero that makes lines of no use. */
  let lines: number | undefined = 0
  const places = new Map<number, string>()

  const lookAt = (bytes: Uint8Array, isLast: boolean) => {
    const least = isFirst ? 0 : before
    const most = isLast ? bytes.length : bytes.length - overlap + before
    const hits = hitsIn(bytes, own, wide).filter(({ at }) => at >= least && at < most)
    for (const { what, at } of hits.slice(0, 1000)) {
      if (found.has(position + at)) continue
      found.set(position + at, what)
      places.set(
        position + at,
        lines === undefined
          ? `byte ${position + at}`
          : `line ${lines + feedsIn(bytes.subarray(0, at)) + 1}`,
      )
    }
  }

  return {
    look(bytes) {
      if (lines !== undefined && bytes.includes(0)) lines = undefined
      const all = kept.length === 0 ? bytes : Buffer.concat([kept, bytes])
      if (all.length <= 2 * overlap) {
        kept = new Uint8Array(all)
        return
      }
      lookAt(all, false)
      const next = all.length - overlap
      if (lines !== undefined) lines += feedsIn(all.subarray(0, next))
      kept = new Uint8Array(all.subarray(next))
      position += next
      isFirst = false
    },
    end() {
      lookAt(kept, true)
      return [...found]
        .sort(([a], [b]) => a - b)
        .map(([at, what]) => ({ what, place: places.get(at) ?? '' }))
    },
  }
}

function hitsIn(bytes: Uint8Array, own: readonly string[], wide: readonly Uint8Array[]): Secret[] {
  const hits: Secret[] = []
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  for (const [begin, end] of plainRuns(bytes)) {
    const text = buffer.toString('latin1', begin, end)
    for (const { what, at } of findSecrets(text, own)) hits.push({ what, at: begin + at })
  }
  for (const [begin, end] of wideRuns(bytes)) {
    const text = buffer.subarray(begin, end).toString('utf16le')
    for (const { what, at } of findSecrets(text, own)) hits.push({ what, at: begin + 2 * at })
  }
  // Whatever stands around it, and whatever it is made of.
  for (const value of own) {
    const at = value === '' ? -1 : buffer.indexOf(value)
    if (at !== -1) hits.push({ what: ownToken, at })
  }
  for (const value of wide) {
    const at = value.length === 0 ? -1 : buffer.indexOf(value)
    if (at !== -1) hits.push({ what: ownToken, at })
  }
  return hits.sort((a, b) => a.at - b.at)
}

/** 1 for ASCII that stands in texts. */
const isPrintable = Uint8Array.from({ length: 256 }, (_, byte) =>
  (byte >= 32 && byte < 127) || byte === 9 || byte === 10 || byte === 13 ? 1 : 0,
)

/**
 * Runs of bytes that may be text: all of them where no zero is among them. In weights only one of so
 * many bytes is looked at, which is enough to find a run of as many.
 */
function plainRuns(bytes: Uint8Array): [begin: number, end: number][] {
  if (!bytes.includes(0)) return [[0, bytes.length]]
  const runs: [number, number][] = []
  for (let at = shortestRun - 1; at < bytes.length; at += shortestRun) {
    if (isPrintable[bytes[at] ?? 0] === 0) continue
    let begin = at
    while (begin > 0 && isPrintable[bytes[begin - 1] ?? 0] === 1) begin--
    let end = at + 1
    while (end < bytes.length && isPrintable[bytes[end] ?? 0] === 1) end++
    if (end - begin >= shortestRun) runs.push([begin, end])
    at = end
  }
  return runs
}

/** Runs of ASCII in UTF-16, wherever they begin: a letter, a zero, a letter … */
function wideRuns(bytes: Uint8Array): [begin: number, end: number][] {
  const runs: [number, number][] = []
  const isPair = (at: number) => isPrintable[bytes[at] ?? 0] === 1 && bytes[at + 1] === 0
  const step = 2 * shortestRun
  for (let at = step - 2; at + 2 < bytes.length; ) {
    const start = isPair(at) ? at : isPair(at + 1) ? at + 1 : undefined
    if (start === undefined) {
      at += step
      continue
    }
    let begin = start
    while (begin >= 2 && isPair(begin - 2)) begin -= 2
    let end = start + 2
    while (end + 1 < bytes.length && isPair(end)) end += 2
    if (end - begin >= step) runs.push([begin, end])
    at = Math.max(at + step, end + step - 2)
  }
  return runs
}

function feedsIn(bytes: Uint8Array): number {
  let count = 0
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) count++
  return count
}
