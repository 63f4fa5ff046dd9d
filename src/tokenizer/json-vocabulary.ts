import { inputError } from '../io/errors.js'
import { entriesOf, itemsOf, property } from '../io/json.js'

/** As for SentencePiece: a wrong claim must not exhaust memory. */
export const maxTokens = 10_000_000

/** A token as a tokenizer.json has it, of the model's vocabulary or added to it. */
export interface JsonToken {
  readonly text: string
  readonly kind: 'vocabulary' | 'special' | 'added'
}

/**
 * All tokens of a tokenizer.json by their ids; undefined where no token has the id.
 * @param path what to call the file in an error
 * @throws input error for ids that are none, or that two tokens have
 */
export function readTokens(json: unknown, path: string): (JsonToken | undefined)[] {
  const tokens: (JsonToken | undefined)[] = []
  const put = (id: unknown, token: JsonToken) => {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= maxTokens) {
      throw refuse(path, `token ${brief(token.text)} has the id ${brief(id)}`)
    }
    const other = tokens[id]
    if (other !== undefined && other.text !== token.text) {
      throw refuse(
        path,
        `tokens ${brief(other.text)} and ${brief(token.text)} both have the id ${id}`,
      )
    }
    tokens[id] = token
  }
  const vocabulary = property(property(json, 'model'), 'vocab')
  for (const [text, id] of entriesOf(vocabulary)) put(id, { text, kind: 'vocabulary' })
  for (const token of itemsOf(property(json, 'added_tokens'))) {
    const text = property(token, 'content')
    if (typeof text !== 'string') throw refuse(path, 'an added token has no text')
    const kind = property(token, 'special') === true ? 'special' : 'added'
    put(property(token, 'id'), { text, kind })
  }
  if (tokens.length === 0) throw refuse(path, 'there is no token')
  return Array.from(tokens)
}

/** A value of a file in an error: however large it is, its beginning. */
export function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined'
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

export function refuse(path: string, what: string, suggestions?: string[]): Error {
  return inputError(what, {
    format: 'tokenizer.json',
    path,
    suggestions: suggestions ?? ['Download it again, or take it from the original release.'],
  })
}
