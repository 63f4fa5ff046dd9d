import { contextLength, type MetadataEntry, metadataLookup } from '../checkpoint/metadata.js'
import { inputError } from '../io/errors.js'
import { type ByteLevelToken, byteLevelJson } from './byte-level-json.js'
import { templateFromGguf } from './gguf-template.js'
import { stringify } from './json.js'
import { preTokenizerNamed, readableNames } from './pre-tokenizer.js'

/** A byte-level BPE as the files that transformers loads. */
export type ByteLevelFiles = {
  readonly 'tokenizer.json': string
  readonly 'tokenizer_config.json': string
}

/** Whether a GGUF's vocabulary is a byte-level BPE. */
export function isByteLevelGguf(metadata: readonly MetadataEntry[]): boolean {
  return metadataLookup(metadata).text('tokenizer.ggml.model') === 'gpt2'
}

/** ggml's types of tokens, by number. */
const types = { control: 3, userDefined: 4, unused: 5 } as const

/**
 * The tokenizer.json of a GGUF's byte-level BPE, and the tokenizer_config.json beside it. Text is
 * split as llama.cpp splits it.
 * @param path what to call the GGUF in an error
 * @throws input error where its pre-tokenizer is none that is known here
 */
export function byteLevelFromGguf(
  metadata: readonly MetadataEntry[],
  path: string,
): ByteLevelFiles {
  const entries = metadataLookup(metadata)
  const texts = textsOf(entries, 'tokens', path)
  const merges = textsOf(entries, 'merges', path)
  const kinds = entries.get('tokenizer.ggml.token_type')?.value
  const typeOf = (id: number) => (isNumbers(kinds) ? Number(kinds[id]) : 1)
  const name = entries.text('tokenizer.ggml.pre') ?? 'default'
  const pre = preTokenizerNamed(name)
  if (pre === undefined) {
    throw inputError(
      `how its pre-tokenizer "${name}" splits text is not known here, and a tokenizer.json has to say it`,
      {
        format: 'gguf',
        path,
        suggestions: [
          'Pass the original tokenizer.json with `tokenizer`; GGUF to GGUF carries the vocabulary as it is.',
          `Known are ${readableNames.join(', ')}.`,
        ],
      },
    )
  }
  const tokens = texts.map((text, id): ByteLevelToken => {
    const type = typeOf(id)
    if (type === types.control) return { text, kind: 'special' }
    return { text, kind: type === types.userDefined ? 'added' : 'vocabulary' }
  })
  const known = new Set<string>()
  for (const [id, { text }] of tokens.entries()) {
    if (known.has(text))
      throw wrong(path, `two of its tokens are ${JSON.stringify(text)}, one ${id}`)
    known.add(text)
  }
  // Rows without a token, as a converter pads them.
  while (tokens.length > 0 && isPadding(tokens.length - 1)) tokens.pop()

  const idOf = (role: string) => entries.integer(`tokenizer.ggml.${role}_token_id`)
  const textOf = (role: string) => texts[idOf(role) ?? -1]
  const adds = (role: string, usual: boolean) => {
    const said = entries.get(`tokenizer.ggml.add_${role}_token`)?.value
    return (typeof said === 'boolean' ? said : usual) ? idOf(role) : undefined
  }
  const json = byteLevelJson({
    tokens,
    merges,
    pre,
    before: adds('bos', pre.addsBos ?? false),
    after: adds('eos', false),
  })
  return {
    'tokenizer.json': stringify(json),
    'tokenizer_config.json': stringify({
      bos_token: textOf('bos'),
      chat_template: templateFromGguf((key) => entries.get(key)?.value),
      clean_up_tokenization_spaces: false,
      eos_token: textOf('eos'),
      model_input_names: ['input_ids', 'attention_mask'],
      model_max_length: contextLength(entries),
      pad_token: textOf('padding'),
      tokenizer_class: 'PreTrainedTokenizerFast',
      unk_token: textOf('unknown'),
    }),
  }

  function isPadding(id: number): boolean {
    return typeOf(id) === types.unused && texts[id] === `[PAD${id}]`
  }
}

function textsOf(
  entries: ReturnType<typeof metadataLookup>,
  name: string,
  path: string,
): readonly string[] {
  const entry = entries.get(`tokenizer.ggml.${name}`)
  if (entry?.type === 'string[]') return entry.value
  throw wrong(path, `its byte-level vocabulary has no tokenizer.ggml.${name}`)
}

function wrong(path: string, what: string): Error {
  return inputError(what, {
    format: 'gguf',
    path,
    suggestions: ['Pass the original tokenizer.json with `tokenizer`.'],
  })
}

function isNumbers(value: unknown): value is ArrayLike<number | bigint> {
  return ArrayBuffer.isView(value) && 'length' in value
}
