/**
 * Which of llama.cpp's pre-tokenizers a tokenizer.json asks for. llama.cpp has a
 * fixed list of them, chosen by `tokenizer.ggml.pre`; a wrong choice splits text
 * in other places and nobody is told. So it is read from the pre-tokenizer's own
 * definition, and one that is not in the table is refused.
 * Source: llm_tokenizer_bpe in llama.cpp's src/llama-vocab.cpp.
 */

/** A step of a pre-tokenizer, reduced to what decides where it splits. */
export type SplitStep =
  | { readonly type: 'Split'; readonly regex: string }
  | { readonly type: 'Digits' }
  /** GPT-2's own pattern, or none: then it only maps bytes to characters. */
  | { readonly type: 'ByteLevel'; readonly gpt2Pattern: boolean }

interface KnownPreTokenizer {
  /** The value of `tokenizer.ggml.pre`. */
  readonly name: string
  readonly steps: readonly SplitStep[]
  /** llama.cpp ties this to the name as well. */
  readonly ignoreMerges: boolean
}

const byteLevel: SplitStep = { type: 'ByteLevel', gpt2Pattern: false }
const gpt2: SplitStep = { type: 'ByteLevel', gpt2Pattern: true }
const digits: SplitStep = { type: 'Digits' }

function split(regex: string): SplitStep {
  return { type: 'Split', regex }
}

// What most patterns share: contractions, and the end (punctuation, line breaks, spaces).
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const word = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+'
const rest = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const restWithSlash = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
// A word whose capitals come first.
const notLetter = '[^\\r\\n\\p{L}\\p{N}]?'
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'

const llama3 = split(`${contractions}|${word}|\\p{N}{1,3}|${rest}`)

const known: readonly KnownPreTokenizer[] = [
  { name: 'llama-bpe', steps: [llama3, byteLevel], ignoreMerges: true },
  { name: 'smaug-bpe', steps: [llama3, byteLevel], ignoreMerges: false },
  {
    name: 'qwen2',
    steps: [split(`${contractions}|${word}|\\p{N}|${rest}`), byteLevel],
    ignoreMerges: false,
  },
  { name: 'gpt-2', steps: [gpt2], ignoreMerges: false },
  { name: 'smollm', steps: [digits, gpt2], ignoreMerges: false },
  {
    name: 'tekken',
    steps: [
      split(
        `${notLetter}${upper}*${lower}+|${notLetter}${upper}+${lower}*|\\p{N}|${restWithSlash}`,
      ),
      byteLevel,
    ],
    ignoreMerges: true,
  },
  {
    name: 'gpt-4o',
    steps: [
      split(
        `${notLetter}${upper}*${lower}+${contractions}?|${notLetter}${upper}+${lower}*${contractions}?|\\p{N}{1,3}|${restWithSlash}`,
      ),
      byteLevel,
    ],
    ignoreMerges: false,
  },
  {
    name: 'deepseek-coder',
    steps: [
      split('[\r\n]'),
      split('\\s?\\p{L}+'),
      split('\\s?\\p{P}+'),
      split('[一-龥ࠀ-一가-퟿]+'),
      digits,
      byteLevel,
    ],
    ignoreMerges: false,
  },
  {
    name: 'deepseek-v3',
    steps: [
      split('\\p{N}{1,3}'),
      split('[一-龥぀-ゟ゠-ヿ]+'),
      split(
        '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
      ),
      byteLevel,
    ],
    ignoreMerges: false,
  },
]

/** The names that are recognised, for an error. */
export const knownPreTokenizers: readonly string[] = known.map(({ name }) => name)

/** The value of `tokenizer.ggml.pre` for these steps; undefined where llama.cpp has none. */
export function recogniseSteps(
  steps: readonly SplitStep[],
  ignoreMerges: boolean,
): string | undefined {
  const wanted = describeSteps(steps)
  return known.find(
    (one) => one.ignoreMerges === ignoreMerges && describeSteps(one.steps) === wanted,
  )?.name
}

/** The steps as one line of text: equal where they split alike. */
export function describeSteps(steps: readonly SplitStep[]): string {
  const parts = steps.map((step) => {
    if (step.type === 'Split') return `Split ${spell(step.regex)}`
    if (step.type === 'Digits') return 'Split \\p{N}'
    return step.gpt2Pattern ? 'ByteLevel with its own pattern' : 'ByteLevel'
  })
  return parts.join(', then ')
}

/** Line breaks are written as themselves in some files, and as escapes in others. */
function spell(regex: string): string {
  return regex.replaceAll('\r', '\\r').replaceAll('\n', '\\n').replaceAll('\t', '\\t')
}
