import { entriesOf, itemsOf, property } from '../io/json.js'
import { brief, refuse } from './json-vocabulary.js'

/**
 * The merges of a tokenizer.json's BPE model, as "left right"; in a file they are
 * that, or pairs.
 * @param model the file's `model`
 * @param vocabulary every token there is
 * @param path what to call the file in an error
 * @throws input error for merges that no tokenizer can follow
 */
export function readMerges(
  model: unknown,
  vocabulary: ReadonlySet<string>,
  path: string,
): string[] {
  const merges = property(model, 'merges')
  if (!Array.isArray(merges)) throw refuse(path, 'there are no merges')
  const seen = new Set<string>()
  return merges.map((merge: unknown, rank) => {
    const parts: unknown[] = typeof merge === 'string' ? merge.split(' ') : itemsOf(merge)
    const [left, right] = parts
    if (parts.length !== 2 || typeof left !== 'string' || typeof right !== 'string') {
      throw refuse(path, `merge ${rank} is no pair: ${brief(merge)}`)
    }
    if (left === '' || right === '') {
      throw refuse(path, `merge ${rank} is cyclic: it joins ${brief(left + right)} with nothing`)
    }
    for (const part of [left, right, left + right]) {
      if (!vocabulary.has(part)) {
        throw refuse(
          path,
          `merge ${rank} (${brief(left)} and ${brief(right)}) needs ${brief(part)}, no token`,
        )
      }
    }
    const pair = `${left} ${right}`
    if (seen.has(pair)) throw refuse(path, `merge ${rank} (${brief(pair)}) is there twice`)
    seen.add(pair)
    return pair
  })
}

/** Programs keep added tokens as trees of their letters. */
const longestToken = 10_000

/** Checks the merges of a whole tokenizer.json, if it is of a BPE model, and what else are lists. */
export function checkMerges(json: unknown, path: string): void {
  const model = property(json, 'model')
  // A text in their place would be taken for a list of its letters.
  for (const [name, value] of [
    ['added_tokens', property(json, 'added_tokens')],
    ['model.vocab', property(model, 'vocab')],
    ['model.merges', property(model, 'merges')],
  ] as const) {
    if (typeof value === 'string') throw refuse(path, `its ${name} is a text`)
  }
  for (const token of itemsOf(property(json, 'added_tokens'))) {
    const content = property(token, 'content')
    if (typeof content !== 'string' || content.length <= longestToken) continue
    throw refuse(path, `an added token has ${content.length} characters`)
  }
  if (property(model, 'type') !== 'BPE') return
  const vocabulary = new Set(entriesOf(property(model, 'vocab')).map(([text]) => text))
  for (const token of itemsOf(property(json, 'added_tokens'))) {
    const content = property(token, 'content')
    if (typeof content === 'string') vocabulary.add(content)
  }
  readMerges(model, vocabulary, path)
}
