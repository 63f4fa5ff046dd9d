/** The geometry of a model that a test makes up. */
export interface Model {
  vocab: number
  hidden: number
  intermediate: number
  layers: number
  heads: number
  kvHeads: number
  headDim: number
  tied?: boolean
}

/** Small, with sizes that are all different, grouped-query attention, and head_dim × heads ≠ hidden. */
export const small: Model = {
  vocab: 48,
  hidden: 40,
  intermediate: 56,
  layers: 2,
  heads: 8,
  kvHeads: 2,
  headDim: 4,
}

/** The fixtures, as their README has them. */
export const fixtures: Record<'tiny-v1' | 'tiny-v2', Model> = {
  'tiny-v1': {
    vocab: 512,
    hidden: 160,
    intermediate: 416,
    layers: 2,
    heads: 8,
    kvHeads: 8,
    headDim: 20,
  },
  'tiny-v2': {
    vocab: 512,
    hidden: 256,
    intermediate: 256,
    layers: 2,
    heads: 8,
    kvHeads: 2,
    headDim: 32,
  },
}

/** A tensor by its name in each format, and its shape as Hugging Face has it, [out, in]. */
export interface Expected {
  hf: string
  easylm: string
  meta: string
  gguf: string
  shape: number[]
  /** Stored by EasyLM as [in, out]. */
  kernel: boolean
}

/** What a model consists of, written out by hand from the formats' own documents. */
export function tensorsOf(model: Model): Expected[] {
  const { vocab, hidden, intermediate, layers, heads, kvHeads, headDim, tied } = model
  const query = heads * headDim
  const key = kvHeads * headDim
  const all: Expected[] = []
  const add = (hf: string, easylm: string, meta: string, gguf: string, ...shape: number[]) => {
    const kernel = shape.length === 2 && easylm.endsWith('kernel')
    all.push({
      hf: `${hf}.weight`,
      easylm,
      meta: `${meta}.weight`,
      gguf: `${gguf}.weight`,
      shape,
      kernel,
    })
  }
  add(
    'model.embed_tokens',
    'transformer/wte/embedding',
    'tok_embeddings',
    'token_embd',
    vocab,
    hidden,
  )
  for (let i = 0; i < layers; i++) {
    const [m, e, l, b] = [`model.layers.${i}`, `transformer/h/${i}`, `layers.${i}`, `blk.${i}`]
    add(
      `${m}.self_attn.q_proj`,
      `${e}/attention/wq/kernel`,
      `${l}.attention.wq`,
      `${b}.attn_q`,
      query,
      hidden,
    )
    add(
      `${m}.self_attn.k_proj`,
      `${e}/attention/wk/kernel`,
      `${l}.attention.wk`,
      `${b}.attn_k`,
      key,
      hidden,
    )
    add(
      `${m}.self_attn.v_proj`,
      `${e}/attention/wv/kernel`,
      `${l}.attention.wv`,
      `${b}.attn_v`,
      key,
      hidden,
    )
    add(
      `${m}.self_attn.o_proj`,
      `${e}/attention/wo/kernel`,
      `${l}.attention.wo`,
      `${b}.attn_output`,
      hidden,
      query,
    )
    add(
      `${m}.mlp.gate_proj`,
      `${e}/feed_forward/w1/kernel`,
      `${l}.feed_forward.w1`,
      `${b}.ffn_gate`,
      intermediate,
      hidden,
    )
    add(
      `${m}.mlp.up_proj`,
      `${e}/feed_forward/w3/kernel`,
      `${l}.feed_forward.w3`,
      `${b}.ffn_up`,
      intermediate,
      hidden,
    )
    add(
      `${m}.mlp.down_proj`,
      `${e}/feed_forward/w2/kernel`,
      `${l}.feed_forward.w2`,
      `${b}.ffn_down`,
      hidden,
      intermediate,
    )
    add(
      `${m}.input_layernorm`,
      `${e}/attention_norm/kernel`,
      `${l}.attention_norm`,
      `${b}.attn_norm`,
      hidden,
    )
    add(
      `${m}.post_attention_layernorm`,
      `${e}/ffn_norm/kernel`,
      `${l}.ffn_norm`,
      `${b}.ffn_norm`,
      hidden,
    )
  }
  add('model.norm', 'transformer/ln_f/kernel', 'norm', 'output_norm', hidden)
  if (!tied) add('lm_head', 'lm_head/kernel', 'output', 'output', vocab, hidden)
  return all
}

/** The shape in which EasyLM stores it. */
export function easylmShape({ shape, kernel }: Expected): number[] {
  return kernel ? shape.toReversed() : shape
}

/**
 * A tensor as Hugging Face has it, from the values that EasyLM stores: kernels turned from [in, out]
 * to [out, in], and within each head of queries and keys first all rows that were even, then the odd.
 */
export function hfValues(stored: Float32Array, tensor: Expected, { headDim }: Model): Float32Array {
  const [rows = 1, columns = 1] = tensor.shape
  const at = (row: number, column: number) =>
    stored[tensor.kernel ? column * rows + row : row * columns + column] ?? Number.NaN
  const rotates = /attn\.[qk]_proj/.test(tensor.hf)
  const result = new Float32Array(stored.length)
  for (let row = 0; row < rows; row++) {
    const [head, inHead] = [Math.floor(row / headDim), row % headDim]
    const half = headDim / 2
    const from = rotates ? head * headDim + (inHead % half) * 2 + Math.floor(inHead / half) : row
    for (let column = 0; column < columns; column++) {
      result[row * columns + column] = at(from, column)
    }
  }
  return result
}
