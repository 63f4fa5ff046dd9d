import type { Role, RowsBinding, SizeName } from './architecture.js'

/** The tensors that the LLaMA-like architectures share, each told once. */

export const embeddingName = 'model.embed_tokens.weight'
export const headName = 'lm_head.weight'

type Names = Role['names']

const matrix = (
  names: Names,
  shape: readonly [SizeName, SizeName],
  split: Role['split'],
  more: Partial<Role> = {},
): Role => ({ names, shape, rotary: false, presence: 'always', split, ...more })

const norm = (names: Names, size: SizeName = 'hidden'): Role => ({
  names,
  shape: [size],
  rotary: false,
  presence: 'always',
  split: 'copies',
})

/** The bias of a projection, in the namings that have one. */
const biasOf = (of: Role, presence: Role['presence']): Role => ({
  names: {
    hf: of.names.hf.replace(/weight$/, 'bias'),
    ...(of.names.gguf === undefined ? {} : { gguf: of.names.gguf.replace(/weight$/, 'bias') }),
  },
  shape: of.shape.slice(0, 1),
  rotary: of.rotary,
  presence,
  split: of.split === 'rows' ? 'rows' : 'copies',
})

/** What transformers' Flax models call a tensor: a path, of kernels where it is a matrix. */
function flaxName(hf: string, shape: readonly SizeName[]): string {
  const leaf = hf === embeddingName ? 'embedding' : shape.length === 2 ? 'kernel' : 'weight'
  return hf.replace(/weight$/, leaf).replaceAll('.', '/')
}

const inLlama = (role: Role, easylm: string, meta: string): Role => ({
  ...role,
  names: { ...role.names, easylm, meta, 'hf-flax': flaxName(role.names.hf, role.shape) },
})

const layer = 'model.layers.{i}'

const embedding = matrix(
  { hf: embeddingName, gguf: 'token_embd.weight' },
  ['vocab', 'hidden'],
  'either',
)
const query = matrix(
  { hf: `${layer}.self_attn.q_proj.weight`, gguf: 'blk.{i}.attn_q.weight' },
  ['query', 'hidden'],
  'rows',
  { rotary: true },
)
const key = matrix(
  { hf: `${layer}.self_attn.k_proj.weight`, gguf: 'blk.{i}.attn_k.weight' },
  ['key', 'hidden'],
  'rows',
  { rotary: true },
)
const value = matrix(
  { hf: `${layer}.self_attn.v_proj.weight`, gguf: 'blk.{i}.attn_v.weight' },
  ['key', 'hidden'],
  'rows',
)
const output = matrix(
  { hf: `${layer}.self_attn.o_proj.weight`, gguf: 'blk.{i}.attn_output.weight' },
  ['hidden', 'query'],
  'columns',
)
const gate = matrix(
  { hf: `${layer}.mlp.gate_proj.weight`, gguf: 'blk.{i}.ffn_gate.weight' },
  ['intermediate', 'hidden'],
  'rows',
)
const up = matrix(
  { hf: `${layer}.mlp.up_proj.weight`, gguf: 'blk.{i}.ffn_up.weight' },
  ['intermediate', 'hidden'],
  'rows',
)
const down = matrix(
  { hf: `${layer}.mlp.down_proj.weight`, gguf: 'blk.{i}.ffn_down.weight' },
  ['hidden', 'intermediate'],
  'columns',
)
const inputNorm = norm({ hf: `${layer}.input_layernorm.weight`, gguf: 'blk.{i}.attn_norm.weight' })
const postNorm = norm({
  hf: `${layer}.post_attention_layernorm.weight`,
  gguf: 'blk.{i}.ffn_norm.weight',
})
const lastNorm = norm({ hf: 'model.norm.weight', gguf: 'output_norm.weight' })
const head = matrix({ hf: headName, gguf: 'output.weight' }, ['vocab', 'hidden'], 'rows', {
  presence: 'untied',
})

/** A decoder of attention and a gated feed-forward network, each behind its norm. */
export const decoder = {
  embedding,
  query,
  key,
  value,
  output,
  gate,
  up,
  down,
  inputNorm,
  postNorm,
  lastNorm,
  head,
}

/** The same with the names that EasyLM, Meta and transformers' Flax models have for a LLaMA. */
export const llamaDecoder: typeof decoder = {
  embedding: inLlama(embedding, 'transformer/wte/embedding', 'tok_embeddings.weight'),
  query: inLlama(query, 'transformer/h/{i}/attention/wq/kernel', 'layers.{i}.attention.wq.weight'),
  key: inLlama(key, 'transformer/h/{i}/attention/wk/kernel', 'layers.{i}.attention.wk.weight'),
  value: inLlama(value, 'transformer/h/{i}/attention/wv/kernel', 'layers.{i}.attention.wv.weight'),
  output: inLlama(
    output,
    'transformer/h/{i}/attention/wo/kernel',
    'layers.{i}.attention.wo.weight',
  ),
  gate: inLlama(
    gate,
    'transformer/h/{i}/feed_forward/w1/kernel',
    'layers.{i}.feed_forward.w1.weight',
  ),
  up: inLlama(up, 'transformer/h/{i}/feed_forward/w3/kernel', 'layers.{i}.feed_forward.w3.weight'),
  down: inLlama(
    down,
    'transformer/h/{i}/feed_forward/w2/kernel',
    'layers.{i}.feed_forward.w2.weight',
  ),
  inputNorm: inLlama(
    inputNorm,
    'transformer/h/{i}/attention_norm/kernel',
    'layers.{i}.attention_norm.weight',
  ),
  postNorm: inLlama(postNorm, 'transformer/h/{i}/ffn_norm/kernel', 'layers.{i}.ffn_norm.weight'),
  lastNorm: inLlama(lastNorm, 'transformer/ln_f/kernel', 'norm.weight'),
  head: inLlama(head, 'lm_head/kernel', 'output.weight'),
}

/** Biases of projections, by what says that they are there. */
export const biases = {
  query: (presence: Role['presence']) => biasOf(query, presence),
  key: (presence: Role['presence']) => biasOf(key, presence),
  value: (presence: Role['presence']) => biasOf(value, presence),
  output: (presence: Role['presence']) => biasOf(output, presence),
  gate: (presence: Role['presence']) => biasOf(gate, presence),
  up: (presence: Role['presence']) => biasOf(up, presence),
  down: (presence: Role['presence']) => biasOf(down, presence),
}

/** Norms of each head's queries and keys. */
export const headNorms = {
  query: norm(
    { hf: `${layer}.self_attn.q_norm.weight`, gguf: 'blk.{i}.attn_q_norm.weight' },
    'head',
  ),
  key: norm({ hf: `${layer}.self_attn.k_norm.weight`, gguf: 'blk.{i}.attn_k_norm.weight' }, 'head'),
}

/** Queries, keys and values in one array, as llama.cpp's converter writes them with --fuse-qkv. */
export const fusedInGguf: readonly RowsBinding[] = ['weight', 'bias'].map((kind) => ({
  op: 'rows',
  stored: `blk.{i}.attn_qkv.${kind}`,
  tensors: ['q', 'k', 'v'].map((of) => `blk.{i}.attn_${of}.${kind}`),
  written: 'asked',
}))

/** The same role where GGUF has no place for it. */
export function withoutGguf({ names, ...role }: Role): Role {
  const { gguf: _, ...others } = names
  return { ...role, names: others }
}
