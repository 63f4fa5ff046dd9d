import { basename, dirname } from 'node:path'
import { inputError } from '../io/errors.js'
import { readJsonObject } from '../io/json.js'
import { join, kindOf } from '../io/store.js'
import { type ByteLevelToken, byteLevelJson, spellBytes } from './byte-level-json.js'
import { stringify } from './json.js'
import { maxTokens } from './json-vocabulary.js'
import { preTokenizerNamed } from './pre-tokenizer.js'

/**
 * LLaMA 3's own tokenizer.model: tiktoken's list of lines "base64 rank", a token of
 * bytes and how urgently it is made. What else the tokenizer consists of, how text
 * is split and the special tokens behind the ranks, is in Meta's code.
 */

/** Whether a file that starts so is such a list. */
export function isTiktoken(bytes: Uint8Array): boolean {
  const start = new TextDecoder('latin1').decode(bytes.subarray(0, 256))
  return /^[A-Za-z0-9+/]+={0,2} \d+\r?\n/.test(start)
}

/** Files that transformers loads. */
export type TiktokenFiles = {
  readonly 'tokenizer.json': string
  readonly 'tokenizer_config.json': string
}

/**
 * The byte-level BPE that a list of ranks stands for in Meta's code.
 * @param path of the list; a params.json beside it tells LLaMA 3 from 3.1 and later
 * @throws input error for what is no such list
 */
export async function filesFromTiktoken(bytes: Uint8Array, path: string): Promise<TiktokenFiles> {
  const ranks = parseRanks(bytes, path)
  const pre = preTokenizerNamed('llama-bpe')
  if (pre === undefined) throw new Error('LLaMA 3’s pre-tokenizer is not in the table')
  const special = specialTokens(await isLater(path))
  const tokens = [
    ...ranks.map((token): ByteLevelToken => ({ text: spellBytes(token), kind: 'vocabulary' })),
    ...special.map((text): ByteLevelToken => ({ text, kind: 'special' })),
  ]
  const merges = mergesOf(ranks)
  const json = byteLevelJson({ tokens, merges, pre, before: ranks.length })
  return {
    'tokenizer.json': stringify(json),
    'tokenizer_config.json': stringify({
      bos_token: special[0],
      clean_up_tokenization_spaces: false,
      eos_token: special[1],
      model_input_names: ['input_ids', 'attention_mask'],
      tokenizer_class: 'PreTrainedTokenizerFast',
    }),
  }
}

/** The tokens in the order of their ranks, which are theirs from 0 on. */
export function parseRanks(bytes: Uint8Array, path: string): Uint8Array[] {
  const wrong = (line: number, what: string) =>
    inputError(`line ${line + 1} of the tiktoken vocabulary ${what}`, {
      path,
      suggestions: [
        'Download it again, or name the tokenizer.json of the same model with `tokenizer`.',
      ],
    })
  const lines = new TextDecoder('latin1').decode(bytes).split('\n')
  if (lines.at(-1) === '') lines.pop()
  if (lines.length > maxTokens) {
    throw inputError(`${lines.length} tokens; at most ${maxTokens} are believed`, { path })
  }
  const tokens: Uint8Array[] = []
  const known = new Set<string>()
  for (const [i, line] of lines.entries()) {
    const [, text = '', rank = ''] = /^([A-Za-z0-9+/]+={0,2}) (\d{1,9})\r?$/.exec(line) ?? []
    if (text === '') throw wrong(i, 'is no "base64 rank"')
    // Ranks are ids: one that is left out would move all that follow.
    if (Number(rank) !== i) throw wrong(i, `has rank ${Number(rank)}, ${i} is expected`)
    if (known.has(text)) throw wrong(i, 'has a token that is there before')
    known.add(text)
    const token = Buffer.from(text, 'base64')
    if (token.length === 0 || token.toString('base64') !== text) throw wrong(i, 'is no base64')
    tokens.push(token)
  }
  const single = new Set(tokens.filter(({ length }) => length === 1).map(([byte]) => byte))
  if (single.size !== 256) {
    throw inputError(`the tiktoken vocabulary has ${single.size} of 256 bytes as tokens`, { path })
  }
  return tokens
}

/**
 * Merges as transformers' converter makes them: of each token, every way to part it into two
 * tokens, in the order of the token's rank and then of its parts'.
 */
export function mergesOf(ranks: readonly Uint8Array[]): string[] {
  const keys = ranks.map((token) => Buffer.from(token).toString('latin1'))
  const rankOf = new Map(keys.map((key, rank) => [key, rank]))
  const spelled = ranks.map(spellBytes)
  return keys.flatMap((key) => {
    const parts: [left: number, right: number][] = []
    for (let at = 1; at < key.length; at++) {
      const left = rankOf.get(key.slice(0, at))
      const right = rankOf.get(key.slice(at))
      if (left !== undefined && right !== undefined) parts.push([left, right])
    }
    parts.sort(([a, b], [c, d]) => a - c || b - d)
    return parts.map(([left, right]) => `${spelled[left]} ${spelled[right]}`)
  })
}

const reserved = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `<|reserved_special_token_${from + i}|>`)

/** The 256 tokens that Meta's code puts behind the ranks; LLaMA 3.1 gave names to some. */
function specialTokens(later: boolean): string[] {
  const header = ['<|start_header_id|>', '<|end_header_id|>']
  const text = ['<|begin_of_text|>', '<|end_of_text|>']
  if (!later) {
    return [
      ...text,
      ...reserved(0, 4),
      ...header,
      ...reserved(4, 5),
      '<|eot_id|>',
      ...reserved(5, 251),
    ]
  }
  return [
    ...text,
    ...reserved(0, 2),
    '<|finetune_right_pad_id|>',
    ...reserved(2, 3),
    ...header,
    '<|eom_id|>',
    '<|eot_id|>',
    '<|python_tag|>',
    ...reserved(3, 248),
  ]
}

/** Some hundred bytes. */
const maxParams = 1024 * 1024

/** Whether the params.json beside says that its model is of LLaMA 3.1 or later. */
async function isLater(path: string): Promise<boolean> {
  const beside = join(dirname(path), 'params.json')
  if (basename(path) !== 'tokenizer.model' || (await kindOf(beside)) !== 'file') return false
  const params = await readJsonObject(beside, maxParams)
  return params.use_scaled_rope === true
}
