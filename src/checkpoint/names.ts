import type { Layout } from './tensor.js'

/**
 * The tensors of a LLaMA checkpoint: one table, read in both directions. `{i}`
 * stands for the layer. Shapes are Hugging Face's, [out, in], in terms of the
 * geometry.
 */

/** Whose names and layout a format's tensors have. */
export type Naming = 'hf' | 'easylm' | 'meta' | 'gguf' | 'hf-flax'

/** The sizes that shapes are made of. */
export interface Geometry {
  vocab: number
  hidden: number
  intermediate: number
  /** Attention heads × head_dim. */
  query: number
  /** Key-value heads × head_dim. */
  key: number
}

export type GeometryField = keyof Geometry

export interface Role {
  names: Record<Naming, string>
  shape: readonly GeometryField[]
  /** Its rows are paired up by rotary embedding. */
  rotary: boolean
  /** Absent where the embedding serves as the output head too. */
  optional: boolean
}

export const embeddingName = 'model.embed_tokens.weight'
export const headName = 'lm_head.weight'

export const roles: readonly Role[] = [
  role(
    'model.embed_tokens.weight',
    'transformer/wte/embedding',
    'tok_embeddings.weight',
    'token_embd.weight',
    ['vocab', 'hidden'],
  ),
  role(
    'model.layers.{i}.self_attn.q_proj.weight',
    'transformer/h/{i}/attention/wq/kernel',
    'layers.{i}.attention.wq.weight',
    'blk.{i}.attn_q.weight',
    ['query', 'hidden'],
    { rotary: true },
  ),
  role(
    'model.layers.{i}.self_attn.k_proj.weight',
    'transformer/h/{i}/attention/wk/kernel',
    'layers.{i}.attention.wk.weight',
    'blk.{i}.attn_k.weight',
    ['key', 'hidden'],
    { rotary: true },
  ),
  role(
    'model.layers.{i}.self_attn.v_proj.weight',
    'transformer/h/{i}/attention/wv/kernel',
    'layers.{i}.attention.wv.weight',
    'blk.{i}.attn_v.weight',
    ['key', 'hidden'],
  ),
  role(
    'model.layers.{i}.self_attn.o_proj.weight',
    'transformer/h/{i}/attention/wo/kernel',
    'layers.{i}.attention.wo.weight',
    'blk.{i}.attn_output.weight',
    ['hidden', 'query'],
  ),
  role(
    'model.layers.{i}.mlp.gate_proj.weight',
    'transformer/h/{i}/feed_forward/w1/kernel',
    'layers.{i}.feed_forward.w1.weight',
    'blk.{i}.ffn_gate.weight',
    ['intermediate', 'hidden'],
  ),
  role(
    'model.layers.{i}.mlp.up_proj.weight',
    'transformer/h/{i}/feed_forward/w3/kernel',
    'layers.{i}.feed_forward.w3.weight',
    'blk.{i}.ffn_up.weight',
    ['intermediate', 'hidden'],
  ),
  role(
    'model.layers.{i}.mlp.down_proj.weight',
    'transformer/h/{i}/feed_forward/w2/kernel',
    'layers.{i}.feed_forward.w2.weight',
    'blk.{i}.ffn_down.weight',
    ['hidden', 'intermediate'],
  ),
  role(
    'model.layers.{i}.input_layernorm.weight',
    'transformer/h/{i}/attention_norm/kernel',
    'layers.{i}.attention_norm.weight',
    'blk.{i}.attn_norm.weight',
    ['hidden'],
  ),
  role(
    'model.layers.{i}.post_attention_layernorm.weight',
    'transformer/h/{i}/ffn_norm/kernel',
    'layers.{i}.ffn_norm.weight',
    'blk.{i}.ffn_norm.weight',
    ['hidden'],
  ),
  role('model.norm.weight', 'transformer/ln_f/kernel', 'norm.weight', 'output_norm.weight', [
    'hidden',
  ]),
  role('lm_head.weight', 'lm_head/kernel', 'output.weight', 'output.weight', ['vocab', 'hidden'], {
    optional: true,
  }),
]

/** Where a naming's layout departs from Hugging Face's. */
const conventions: Record<Naming, { transposed: boolean; rotary: 'half' | 'interleaved' }> = {
  hf: { transposed: false, rotary: 'half' },
  easylm: { transposed: true, rotary: 'interleaved' },
  meta: { transposed: false, rotary: 'interleaved' },
  gguf: { transposed: false, rotary: 'interleaved' },
  // transformers' Flax models: flax's kernels, and the rest as transformers has it.
  'hf-flax': { transposed: true, rotary: 'half' },
}

/**
 * How a tensor lies in a format of this naming. EasyLM keeps [in, out] kernels;
 * its embedding is a table, not a kernel.
 */
export function layoutIn(naming: Naming, role: Role, headDim: number): Layout {
  const { transposed, rotary } = conventions[naming]
  return {
    transposed: transposed && role.shape.length === 2 && role.names.hf !== embeddingName,
    ...(role.rotary ? { rotary: { order: rotary, headDim } } : {}),
  }
}

export interface Named {
  role: Role
  /** The layer, where the role has one. */
  layer?: number
}

/** The role of a stored name, or undefined where the table does not know it. */
export function roleOf(storedName: string, naming: Naming): Named | undefined {
  const match = /^(.*?[./])(\d+)([./].*)$/.exec(storedName)
  if (match) {
    const [, before, digits = '', after] = match
    const role = tables[naming].get(`${before}{i}${after}`)
    // "07" is no layer: it would give two names for one tensor.
    if (role && String(Number(digits)) === digits) return { role, layer: Number(digits) }
  }
  const role = tables[naming].get(storedName)
  // The table's own "{i}" is no layer either.
  return role && !isPerLayer(role) ? { role } : undefined
}

/**
 * Buffers that older code saved with the weights although the model computes
 * them from its configuration: the frequencies and tables of rotary embedding,
 * and the triangle that masks later tokens.
 */
export function isDerived(storedName: string): boolean {
  return derived.test(storedName)
}

const derived =
  /(^|\.)(rotary_emb\.(original_)?(inv_freq|cos_cached|sin_cached)|rope\.freqs|freqs_(cis|cos|sin)|position_ids|(attention|self_attn|model)\.(mask|masked_bias|causal_mask))$/

/** The name that `naming` has for a role. */
export function nameOf({ role, layer }: Named, naming: Naming): string {
  return role.names[naming].replace('{i}', String(layer))
}

/** All tensors of a model of `layers` layers, in the order of a forward pass. */
export function allTensors(layers: number): Named[] {
  const perLayer = roles.filter(isPerLayer)
  const first = roles.findIndex(isPerLayer)
  const last = first + perLayer.length
  return [
    ...roles.slice(0, first).map((role) => ({ role })),
    ...Array.from({ length: layers }, (_, layer) =>
      perLayer.map((role) => ({ role, layer })),
    ).flat(),
    ...roles.slice(last).map((role) => ({ role })),
  ]
}

export function isPerLayer(role: Role): boolean {
  return role.names.hf.includes('{i}')
}

function role(
  hf: string,
  easylm: string,
  meta: string,
  gguf: string,
  shape: readonly GeometryField[],
  { rotary = false, optional = false } = {},
): Role {
  return {
    names: { hf, easylm, meta, gguf, 'hf-flax': flaxName(hf, shape) },
    shape,
    rotary,
    optional,
  }
}

/** What transformers' Flax models call a tensor: a path, of kernels where it is a matrix. */
function flaxName(hf: string, { length }: readonly GeometryField[]): string {
  const leaf = hf === embeddingName ? 'embedding' : length === 2 ? 'kernel' : 'weight'
  return hf.replace(/weight$/, leaf).replaceAll('.', '/')
}

function table(naming: Naming): Map<string, Role> {
  return new Map(roles.map((role) => [role.names[naming], role]))
}

const tables: Record<Naming, Map<string, Role>> = {
  hf: table('hf'),
  easylm: table('easylm'),
  meta: table('meta'),
  gguf: table('gguf'),
  'hf-flax': table('hf-flax'),
}
