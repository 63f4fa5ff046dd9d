import type { ModelConfig } from '../checkpoint/config.js'
import { presets } from '../checkpoint/presets.js'
import { usageError } from '../io/errors.js'

/** An OpenLLaMA release: what is known of it beyond its geometry. */
export interface Release {
  /** The preset's name, which is the repository's too. */
  readonly id: string
  readonly title: string
  readonly repository: string
  /** The generation of its tokenizer: v1 merges runs of spaces, v2 keeps them. */
  readonly tokenizer: 'v1' | 'v2'
  /** What it was trained on, as a phrase. */
  readonly data: string
  /** The same by names of the Hub. */
  readonly datasets: readonly string[]
  readonly tokens: string
  /** With whom it was trained. */
  readonly partner?: string
}

const redPajama = 'togethercomputer/RedPajama-Data-1T'
const first = {
  tokenizer: 'v1',
  data: 'the RedPajama dataset',
  datasets: [redPajama],
  tokens: '1 trillion tokens',
} as const
const second = {
  tokenizer: 'v2',
  data: 'a mixture of Falcon RefinedWeb, StarCoder, and the Wikipedia, arXiv, books and StackExchange parts of RedPajama',
  datasets: ['tiiuae/falcon-refinedweb', 'bigcode/starcoderdata', redPajama],
  tokens: '1 trillion tokens',
} as const

export const releases: readonly Release[] = [
  release('open_llama_3b', 'OpenLLaMA 3B', first),
  release('open_llama_7b', 'OpenLLaMA 7B', first),
  { ...release('open_llama_13b', 'OpenLLaMA 13B', first), partner: 'Stability AI' },
  release('open_llama_3b_v2', 'OpenLLaMA 3B v2', second),
  release('open_llama_7b_v2', 'OpenLLaMA 7B v2', second),
  release('open_llama_3b_v3', 'OpenLLaMA 3B v3', second),
]

function release(
  id: string,
  title: string,
  rest: Pick<Release, 'tokenizer' | 'data' | 'datasets' | 'tokens'>,
): Release {
  return { id, title, repository: `openlm-research/${id}`, ...rest }
}

/**
 * The release that the user names, with or without its owner.
 * @throws usage error that lists those there are
 */
export function releaseNamed(name: string): Release {
  const found = releases.find(({ id, repository }) => name === id || name === repository)
  if (found !== undefined) return found
  throw usageError(`\`model\` is "${name}", which is no OpenLLaMA release`, {
    suggestions: [`There are ${releases.map(({ id }) => id).join(', ')}.`],
  })
}

/** What may follow a model's name and says only how its weights are stored. */
const forms =
  /^(?:hf|gguf|onnx|easylm|flax|safetensors|pytorch|meta|ggml|f16|fp16|f32|fp32|bf16|q\d(?:_\w+)?|q4f16|k|[sml]|\d|0|1)$/

/**
 * The release that a name is of: `open_llama_3b_v2-q4_k_m.gguf` is of 3B v2,
 * `open_llama_3b_v2-chat` of another model.
 */
export function releaseOfName(name: string): Release | undefined {
  const words = (name.toLowerCase().split('/').at(-1) ?? '')
    .replace(/\.gguf$/, '')
    .replace(/-\d{5}-of-\d{5}$/, '')
    .replace(/open[-_ ]?llama/, 'open_llama')
    .split(/[-_. ]+/)
    .filter((word) => word !== '')
  return releases
    .toSorted((a, b) => b.id.length - a.id.length)
    .find(({ id }) => {
      const own = id.split('_')
      return (
        own.every((word, i) => words[i] === word) &&
        words.slice(own.length).every((word) => forms.test(word))
      )
    })
}

/** What of a geometry is not the release's, as a clause; undefined where nothing is. */
export function differenceFrom({ id }: Release, config: ModelConfig): string | undefined {
  const preset = presets.get(id)
  if (preset === undefined) return undefined
  const fields = [
    'hidden_size',
    'intermediate_size',
    'num_hidden_layers',
    'num_attention_heads',
    'num_key_value_heads',
    'vocab_size',
  ] as const
  const field = fields.find((each) => preset[each] !== config[each])
  return field && `its ${field} is ${config[field]}, ${id} has ${preset[field]}`
}
