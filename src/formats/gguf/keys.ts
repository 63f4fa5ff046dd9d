import type { MetadataEntry, MetadataLookup, MetadataValue } from '../../checkpoint/metadata.js'
import { usageError } from '../../io/errors.js'

type Type = MetadataValue['type']

/** Types by key: what llama.cpp takes, and stops at anything else. */
const types: ReadonlyMap<string, readonly Type[]> = new Map<string, readonly Type[]>([
  ...[
    ...['name', 'basename', 'finetune', 'size_label', 'author', 'version', 'organization'],
    ...['description', 'quantized_by', 'license', 'license.name', 'license.link', 'url', 'type'],
    ...['doi', 'uuid', 'repo_url', 'source.url', 'source.doi', 'source.uuid', 'source.repo_url'],
  ].map((name): [string, Type[]] => [`general.${name}`, ['string']]),
  ...['tags', 'languages', 'datasets'].map((name): [string, Type[]] => [
    `general.${name}`,
    ['string[]'],
  ]),
  ...['file_type', 'quantization_version', 'base_model.count', 'dataset.count'].map(
    (name): [string, Type[]] => [`general.${name}`, ['uint32']],
  ),
  ...['model', 'pre', 'chat_template'].map((name): [string, Type[]] => [
    name === 'chat_template' ? `tokenizer.${name}` : `tokenizer.ggml.${name}`,
    ['string'],
  ]),
  ['tokenizer.ggml.tokens', ['string[]']],
  ['tokenizer.ggml.merges', ['string[]']],
  ['tokenizer.ggml.scores', ['float32[]']],
  ['tokenizer.ggml.token_type', ['int32[]']],
  ['tokenizer.ggml.token_type_count', ['uint32']],
  ...['add_bos_token', 'add_eos_token', 'add_sep_token', 'add_space_prefix'].map(
    (name): [string, Type[]] => [`tokenizer.ggml.${name}`, ['bool']],
  ),
  ['tokenizer.ggml.remove_extra_whitespaces', ['bool']],
])

/** The same of keys that begin with the architecture's name. */
const architectureTypes: ReadonlyMap<string, readonly Type[]> = new Map<string, readonly Type[]>([
  ...[
    ...['vocab_size', 'context_length', 'embedding_length', 'block_count', 'expert_count'],
    ...['expert_used_count', 'rope.dimension_count', 'rope.scaling.original_context_length'],
    ...['attention.key_length', 'attention.value_length', 'attention.sliding_window'],
  ].map((name): [string, Type[]] => [name, ['uint32']]),
  ...['feed_forward_length', 'attention.head_count', 'attention.head_count_kv'].map(
    (name): [string, Type[]] => [name, ['uint32', 'uint32[]', 'int32[]']],
  ),
  ...[
    ...['attention.layer_norm_rms_epsilon', 'attention.layer_norm_epsilon', 'rope.freq_base'],
    ...['rope.scaling.factor', 'rope.scaling.attn_factor', 'rope.scale_linear'],
    ...['rope.scaling.yarn_log_multiplier', 'attention.scale', 'logit_scale'],
  ].map((name): [string, Type[]] => [name, ['float32']]),
  ['rope.scaling.type', ['string']],
  ['rope.scaling.finetuned', ['bool']],
])

/** Values of texts that are one of a few (llama-model.cpp, llama-vocab.cpp of llama.cpp). */
const choices: readonly (readonly [key: RegExp, values: readonly string[]])[] = [
  [/^[\w-]+\.rope\.scaling\.type$/, ['none', 'linear', 'yarn', 'longrope']],
  [/^tokenizer\.ggml\.model$/, ['llama', 'gpt2', 'bert', 't5', 'rwkv', 'plamo2', 'no_vocab']],
]

/** Arrays with an element for each token. */
const perToken = ['tokenizer.ggml.scores', 'tokenizer.ggml.token_type']
const tokens = 'tokenizer.ggml.tokens'

/** GGUF's own limit (ggml/docs/gguf.md). */
const maxKey = 65_535

/**
 * Refuses a value with which llama.cpp would not load the file any more.
 * @param before the file's metadata as they are
 * @param after as they would be, with all changes
 * @throws usage error that says what is expected
 */
export function refuseUnreadable(
  entry: MetadataEntry,
  before: MetadataLookup,
  after: MetadataLookup,
  path?: string,
): void {
  const { key } = entry
  const fail = (what: string) =>
    usageError(`${key.slice(0, 200)} ${what}`, {
      path,
      suggestions: ['llama.cpp would not load a file with it; nothing was written.'],
    })
  if (key.length > maxKey || !/^[\x21-\x7e]+$/.test(key)) {
    throw fail(`is no key of GGUF's: at most ${maxKey} ASCII characters are expected`)
  }
  const expected = typesOf(key)
  if (expected !== undefined && !expected.includes(entry.type)) {
    throw fail(`would be of type ${entry.type}, ${expected.join(' or ')} is expected`)
  }
  const number = firstNonFinite(entry)
  if (number !== undefined) throw fail(`would be ${number}, a finite number is expected`)
  const allowed = choices.find(([pattern]) => pattern.test(key))?.[1]
  if (entry.type === 'string' && allowed !== undefined && !allowed.includes(entry.value)) {
    throw fail(`would be "${entry.value.slice(0, 60)}", one of ${allowed.join(', ')} is expected`)
  }
  refuseVocabulary(entry, before, after, fail)
}

/** The types that a key may have; undefined for one that nothing is known of. */
export function typesOf(key: string): readonly Type[] | undefined {
  if (/^tokenizer\.ggml\.\w+_token_id$/.test(key)) return ['uint32']
  // The first step is the architecture, which another look has held to be the file's.
  return types.get(key) ?? architectureTypes.get(key.replace(/^[^.]*\./, ''))
}

function firstNonFinite({ type, value }: MetadataEntry): number | undefined {
  if (!type.startsWith('float')) return undefined
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : value
  if (typeof value !== 'object') return undefined
  for (let i = 0; i < value.length; i++) {
    const element = value[i]
    if (typeof element === 'number' && !Number.isFinite(element)) return element
  }
  return undefined
}

/** What belongs to each token has as many elements as there are tokens, and ids are of them. */
function refuseVocabulary(
  { key, value }: MetadataEntry,
  before: MetadataLookup,
  after: MetadataLookup,
  fail: (what: string) => Error,
): void {
  const lengthOf = (of: MetadataLookup, name: string) => {
    const found = of.get(name)?.value
    return typeof found === 'object' ? found.length : undefined
  }
  const count = lengthOf(after, tokens)
  if (key === tokens) {
    const had = lengthOf(before, tokens)
    if (had !== undefined && had !== count) {
      throw fail(`would have ${count} elements, the file has ${had} tokens`)
    }
  }
  if (count === undefined) return
  if (key === tokens || perToken.includes(key)) {
    for (const name of perToken) {
      const length = lengthOf(after, name)
      if (length !== undefined && length !== count) {
        throw fail(`does not fit: ${name} would have ${length} elements for ${count} tokens`)
      }
    }
  }
  const isId = /^tokenizer\.ggml\.\w+_token_id$/.test(key)
  if (isId && typeof value === 'number' && value >= count) {
    throw fail(`would be ${value}, there are ${count} tokens`)
  }
}
