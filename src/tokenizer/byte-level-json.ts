import type { OrderedJson } from './json.js'
import { type PreTokenizer, preTokenizerJson } from './pre-tokenizer.js'

/**
 * The tokenizer.json of a byte-level BPE (LLaMA 3 and its kin) from its parts, for
 * vocabularies that come without one: a GGUF, or a list of ranks.
 */

export interface ByteLevelToken {
  /** A token of the vocabulary spelled as `spellBytes` does, an added one as it stands in a text. */
  readonly text: string
  /** Added tokens are cut out of a text before anything else; special ones can be left out of one. */
  readonly kind: 'vocabulary' | 'special' | 'added'
}

export interface ByteLevelParts {
  /** By their ids. */
  readonly tokens: readonly ByteLevelToken[]
  /** "left right", the most urgent first. */
  readonly merges: readonly string[]
  readonly pre: PreTokenizer
  /** Ids of tokens around every text. */
  readonly before?: number | undefined
  readonly after?: number | undefined
}

/** The file as a value that json.ts writes. */
export function byteLevelJson({ tokens, merges, pre, before, after }: ByteLevelParts): OrderedJson {
  // As in LLaMA 3's own file: what was added behind the vocabulary is not in it a second time.
  const last = tokens.findLastIndex(({ kind }) => kind === 'vocabulary')
  const vocabulary = tokens.slice(0, last + 1)
  const byteLevel = (useRegex: boolean) => ({
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: useRegex,
  })
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: tokens.flatMap(({ text, kind }, id) =>
      kind === 'vocabulary'
        ? []
        : [
            {
              id,
              content: text,
              single_word: false,
              lstrip: false,
              rstrip: false,
              normalized: false,
              special: kind === 'special',
            },
          ],
    ),
    normalizer: null,
    pre_tokenizer: preTokenizerJson(pre, byteLevel),
    post_processor: template(tokens, before, after) ?? byteLevel(false),
    decoder: byteLevel(true),
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre.ignoreMerges,
      vocab: new Map(vocabulary.map(({ text }, id) => [text, id])),
      merges,
    },
  }
}

/** Special tokens before and after a text, and around each of a pair. */
function template(
  tokens: readonly ByteLevelToken[],
  before: number | undefined,
  after: number | undefined,
): OrderedJson | undefined {
  const textOf = (id: number | undefined) => (id === undefined ? undefined : tokens[id]?.text)
  const [first, last] = [textOf(before), textOf(after)]
  if (first === undefined && last === undefined) return undefined
  const special = (text: string | undefined, typeId: number): OrderedJson[] =>
    text === undefined ? [] : [{ SpecialToken: { id: text, type_id: typeId } }]
  const around = (id: 'A' | 'B', typeId: number): OrderedJson[] => [
    ...special(first, typeId),
    { Sequence: { id, type_id: typeId } },
    ...special(last, typeId),
  ]
  const used = [before, after].flatMap((id): [string, OrderedJson][] => {
    const text = textOf(id)
    return id === undefined || text === undefined
      ? []
      : [[text, { id: text, ids: [id], tokens: [text] }]]
  })
  return {
    type: 'TemplateProcessing',
    single: around('A', 0),
    pair: [...around('A', 0), ...around('B', 1)],
    special_tokens: new Map(used),
  }
}

/** A byte as GPT-2 spells it: printable ones as themselves, the others from U+0100 on. */
const spelling: readonly string[] = spellings()

function spellings(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(isPrintable(byte) ? byte : next++),
  )
}

/** A token of bytes as a byte-level vocabulary spells it. */
export function spellBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => spelling[byte] ?? '').join('')
}
