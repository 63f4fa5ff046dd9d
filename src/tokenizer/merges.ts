import type { SentencePieceModel } from './sentencepiece.js'

/** The merge rules that make a rank-ordered BPE do what SentencePiece's BPE does. */
export interface Merges {
  /** [left, right], the most urgent first. */
  readonly pairs: readonly (readonly [string, string])[]
  /** Pieces that SentencePiece can make and no list of merges can: a part is no piece. */
  readonly unreachable: readonly string[]
  /** Unused pieces that are made on the way; SentencePiece takes them apart again. */
  readonly unused: readonly string[]
}

/**
 * SentencePiece joins whichever neighbours make the piece of the highest score,
 * the leftmost first, without asking how the piece came to be in training. So a
 * rule is needed for every way to split every piece in two pieces, in order of
 * (score falling, id of the piece, id of left, id of right).
 *
 * Pieces of one score have no order of their own in SentencePiece, only places in
 * the text, which no list of rules can follow in every text. In order of their ids
 * runs of one character come out right (Mistral's 15 pieces of several spaces have
 * one score: those that make longer ones come first); other ties need not.
 */
export function findMerges(model: SentencePieceModel): Merges {
  // Unused pieces count: SentencePiece joins through them. User-defined ones are
  // cut out of the text beforehand and frozen.
  const ids = new Map<string, number>()
  for (const [id, { text, type }] of model.pieces.entries()) {
    if (type === 'normal' || type === 'unused') ids.set(text, id)
  }
  const rules: Rule[] = []
  const unreachable: string[] = []
  const unused: string[] = []
  for (const [id, { text, score, type }] of model.pieces.entries()) {
    if (ids.get(text) !== id) continue
    let splits = 0
    let missing = false
    for (const at of boundaries(text)) {
      const left = text.slice(0, at)
      const right = text.slice(at)
      const leftId = ids.get(left)
      const rightId = ids.get(right)
      if (leftId !== undefined && rightId !== undefined) {
        rules.push({ left, right, id, leftId, rightId, score })
        splits++
      } else if (
        (leftId !== undefined || isOneCharacter(left)) &&
        (rightId !== undefined || isOneCharacter(right))
      ) {
        missing = true
      }
    }
    if (splits === 0 && missing) unreachable.push(text)
    if (splits > 0 && type === 'unused') unused.push(text)
  }
  rules.sort(
    (a, b) => b.score - a.score || a.id - b.id || a.leftId - b.leftId || a.rightId - b.rightId,
  )
  return { pairs: rules.map(({ left, right }) => [left, right] as const), unreachable, unused }
}

interface Rule {
  readonly left: string
  readonly right: string
  /** Of the piece that the two make. */
  readonly id: number
  readonly leftId: number
  readonly rightId: number
  readonly score: number
}

/** Where a text can be cut between two code points, in UTF-16 units. */
function boundaries(text: string): number[] {
  const cuts: number[] = []
  let at = 0
  for (const character of text) {
    if (at > 0) cuts.push(at)
    at += character.length
  }
  return cuts
}

function isOneCharacter(text: string): boolean {
  return text.length === ((text.codePointAt(0) ?? 0) > 0xffff ? 2 : 1)
}

/** A piece that text never comes to as a whole, and where it can be cut in two. */
export interface BrokenPiece {
  readonly text: string
  /** Both parts, if looked up or merged, give what SentencePiece makes of the whole. */
  readonly cut: readonly [string, string] | undefined
}

/**
 * Which pieces do not come out whole when their text is encoded alone: pieces that
 * other merges get in the way of, and those that are not for text at all (`<s>`,
 * `<0x0A>`). For them a tokenizer that looks up whole segments first differs from
 * one that merges.
 */
export function brokenPieces(model: SentencePieceModel, merges: Merges): BrokenPiece[] {
  const ranks = new Map(merges.pairs.map(([left, right], rank) => [pairKey(left, right), rank]))
  const whole = new Set(model.pieces.map(({ text }) => text))
  const isRight = (parts: readonly string[]) => parts.length === 1 || !whole.has(parts.join(''))
  const broken: BrokenPiece[] = []
  for (const { text, type } of model.pieces) {
    if (type === 'userDefined' || type === 'unused') continue
    const parts = mergeAll(text, ranks)
    if (parts.length === 1) continue
    const at = parts.findIndex(
      (_, i) => i > 0 && isRight(parts.slice(0, i)) && isRight(parts.slice(i)),
    )
    const cut = [parts.slice(0, at).join(''), parts.slice(at).join('')] as const
    broken.push({ text, cut: at > 0 ? cut : undefined })
  }
  return broken
}

// The length of the left part keeps ("ab", "c") and ("a", "bc") apart.
function pairKey(left: string, right: string): string {
  return `${left.length} ${left}${right}`
}

function mergeAll(text: string, ranks: ReadonlyMap<string, number>): string[] {
  const parts = Array.from(text)
  for (;;) {
    let best = Number.POSITIVE_INFINITY
    let at = -1
    for (const [i, left] of parts.entries()) {
      const right = parts[i + 1]
      if (right === undefined) break
      const rank = ranks.get(pairKey(left, right))
      if (rank !== undefined && rank < best) {
        best = rank
        at = i
      }
    }
    if (at < 0) return parts
    parts.splice(at, 2, parts.slice(at, at + 2).join(''))
  }
}
