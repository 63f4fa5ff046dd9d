import type { OrderedJson } from './json.js'

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

export interface PreTokenizer {
  /** The value of `tokenizer.ggml.pre`. */
  readonly name: string
  readonly steps: readonly SplitStep[]
  /** Whole words are looked up before they are merged; llama.cpp ties this to the name as well. */
  readonly ignoreMerges: boolean
  /** llama.cpp puts BOS before a text where a file does not say. */
  readonly addsBos?: boolean
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

// The letters of DeepSeek LLM's own file: those of Unicode 10 that have a case.
const casedLetters = [
  'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ',
  'Ḁ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻ',
  'Ȿ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃',
].join('')

// What GPT-2's own step splits by.
const gpt2Pattern =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

const llama3 = split(`${contractions}|${word}|\\p{N}{1,3}|${rest}`)

const known: readonly PreTokenizer[] = [
  { name: 'llama-bpe', steps: [llama3, byteLevel], ignoreMerges: true, addsBos: true },
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
    addsBos: true,
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

/**
 * Those that llama.cpp's own files name, and that no tokenizer.json is recognised as: the files
 * they come from say the same in other words.
 */
const readOnly: readonly PreTokenizer[] = [
  {
    name: 'deepseek-llm',
    steps: [
      split('[\\r\\n]'),
      split(`\\s?[${casedLetters}]+`),
      split('\\s?[!-/:-~！-／：-～‘-‟　-。]+'),
      split('\\s+$'),
      split('[一-龥ࠀ-一가-퟿]+'),
      split('\\p{N}+'),
      byteLevel,
    ],
    ignoreMerges: false,
  },
  {
    name: 'default',
    steps: [
      split('[\\p{P}\\$\\+<=>\\^~\\|]+'),
      split(gpt2Pattern),
      split('\\p{N}+'),
      split('[0-9][0-9][0-9]'),
      byteLevel,
    ],
    ignoreMerges: false,
  },
]

/** Names that llama.cpp takes for the same. */
const aliases: ReadonlyMap<string, string> = new Map([
  ['llama3', 'llama-bpe'],
  ['llama-v3', 'llama-bpe'],
  ['falcon3', 'llama-bpe'],
  ['falcon-h1', 'llama-bpe'],
  ['lfm2', 'llama-bpe'],
  ['pixtral', 'llama-bpe'],
  ['midm-2.0', 'llama-bpe'],
  ['dbrx', 'smaug-bpe'],
  ['stablelm2', 'qwen2'],
  ['deepseek-r1-qwen', 'qwen2'],
  ['megrez', 'qwen2'],
  ['phi-2', 'gpt-2'],
  ['mpt', 'gpt-2'],
  ['olmo', 'gpt-2'],
  ['jais', 'gpt-2'],
  ['trillion', 'gpt-2'],
  ['starcoder', 'smollm'],
  ['refact', 'smollm'],
  ['command-r', 'smollm'],
  ['codeshell', 'smollm'],
  ['exaone', 'smollm'],
  ['minerva-7b', 'smollm'],
  ['llama4', 'gpt-4o'],
])

/** Names by which a GGUF's vocabulary can be had back as a tokenizer.json, for an error. */
export const readableNames: readonly string[] = [
  ...[...known, ...readOnly].map(({ name }) => name),
  ...aliases.keys(),
].toSorted()

/** What llama.cpp does for a value of `tokenizer.ggml.pre`; undefined where that is not known here. */
export function preTokenizerNamed(name: string): PreTokenizer | undefined {
  const meant = aliases.get(name) ?? name
  return [...known, ...readOnly].find((each) => each.name === meant)
}

/**
 * The pre-tokenizer of a tokenizer.json that does the same. Its last step maps bytes to characters,
 * and splits as well where it is GPT-2's own.
 */
export function preTokenizerJson(
  { steps }: PreTokenizer,
  byteLevel: (useRegex: boolean) => OrderedJson,
): OrderedJson {
  const written = steps.map((step): OrderedJson => {
    if (step.type === 'ByteLevel') return byteLevel(step.gpt2Pattern)
    // The step "Digits" is others' in JavaScript than in Rust: ½ is one there, and none here.
    const regex = step.type === 'Digits' ? '\\p{N}' : step.regex
    return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false }
  })
  const [only] = written
  return written.length === 1 && only !== undefined
    ? only
    : { type: 'Sequence', pretokenizers: written }
}

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
