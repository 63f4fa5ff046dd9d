import { inputError } from '../io/errors.js'
import { isJsonObject, type JsonObject } from '../io/json.js'

/**
 * Ways of quantizing that other software saves weights in, each known by the
 * tensors that it adds and by the name that a config.json has for it. They are
 * refused, by that name and with what to do.
 */
interface Method {
  title: string
  /** What `quant_method` in a quantization_config calls it. */
  methods: readonly string[]
  /** All of these are found among the names' ends. */
  names?: readonly RegExp[]
  /** One of these is among the types of weights. */
  types?: RegExp
  /** How to get weights of floats from it; beside "take the original". */
  step?: string
}

/** In the order in which names are tried: what says more comes first. */
const known: readonly Method[] = [
  ...['nf4', 'fp4'].map((kind) => ({
    title: `bitsandbytes ${kind}`,
    methods: ['bitsandbytes'],
    names: [new RegExp(`\\.quant_state\\.bitsandbytes__${kind}$`)],
    step: 'Load it with transformers, call model.dequantize() and save_pretrained(), and convert that.',
  })),
  {
    title: 'bitsandbytes 8 bit',
    methods: ['bitsandbytes'],
    names: [/\.SCB$/],
    step: 'Load it with transformers, call model.dequantize() and save_pretrained(), and convert that.',
  },
  {
    title: 'GPTQ',
    methods: ['gptq'],
    names: [/\.qweight$/, /\.g_idx$/],
    step: 'llama.cpp’s convert_hf_to_gguf.py dequantizes GPTQ: convert the GGUF that it makes.',
  },
  { title: 'AWQ', methods: ['awq'], names: [/\.qweight$/, /\.qzeros$/] },
  {
    title: 'compressed-tensors',
    methods: ['compressed-tensors', 'sparseml'],
    names: [/\.weight_packed$/],
    step: 'Load it with transformers and CompressedTensorsConfig(run_compressed=False), save_pretrained(), and convert that.',
  },
  {
    title: 'MLX',
    methods: ['mlx'],
    names: [/\.scales$/, /\.biases$/],
    step: 'mlx_lm.convert --dequantize (of a fine-tune: mlx_lm.fuse --dequantize) makes floats of it: convert those.',
  },
  { title: 'AQLM', methods: ['aqlm'], names: [/\.codes$/, /\.codebooks$/] },
  { title: 'HQQ', methods: ['hqq'], names: [/\.W_q$/] },
  { title: 'EETQ', methods: ['eetq'], names: [/\.weight_scales$/] },
  { title: 'QuIP#', methods: ['quip'], names: [/\.Qidxs\w*$/] },
  { title: 'VPTQ', methods: ['vptq'], names: [/\.indices$/, /\.centroids\.weight$/] },
  { title: 'ExLlamaV2', methods: ['exl2'], names: [/\.q_weight$/, /\.q_scale$/] },
  { title: 'ExLlamaV3', methods: ['exl3'], names: [/\.trellis$/] },
  { title: 'Quanto', methods: ['quanto'], names: [/\.weight\._data$/] },
  { title: 'MXFP4', methods: ['mxfp4'], names: [/_blocks$/, /_scales$/] },
  { title: 'Marlin', methods: ['marlin'], names: [/\.B$/, /\.s$/] },
  {
    title: 'FP8 with scales',
    methods: ['fp8', 'fbgemm_fp8'],
    names: [/\.weight_scale(_inv)?$/],
    types: /^F8_|Float8/,
    step: 'Load it with transformers and dequantize=True in its quantization’s configuration, save_pretrained(), and convert that.',
  },
  { title: 'FP8', methods: ['fp8'], types: /^F8_|Float8/ },
  {
    title: '8-bit integers with scales',
    methods: [],
    names: [/\.weight_scale$/],
    types: /^I8$|Char/,
  },
  { title: 'torchao', methods: ['torchao'] },
  { title: 'BitNet', methods: ['bitnet'] },
  { title: 'AutoRound', methods: ['auto-round', 'intel/auto-round'] },
  { title: 'HIGGS', methods: ['higgs'] },
  { title: 'SpQR', methods: ['spqr'] },
]

/**
 * Refuses weights that are quantized in a way that is not read.
 * @param names of all tensors
 * @param types of those whose elements are no floats, as their format calls them
 * @param told config.json's quantization_config, which may be left over: alone it proves nothing
 * @throws input error that names the method
 */
export function refuseQuantized(
  names: readonly string[],
  types: readonly string[],
  told: JsonObject | undefined,
  where: { format: string; path: string },
): void {
  const byNames = known.find(
    (method) =>
      (method.names !== undefined || method.types !== undefined) &&
      (method.names ?? []).every((end) => names.some((name) => end.test(name))) &&
      (method.types === undefined || types.some((type) => method.types?.test(type))),
  )
  const name = told?.quant_method
  const byConfig =
    types.length > 0
      ? known.find(({ methods }) => methods.some((each) => each === name))
      : undefined
  const method = byNames ?? byConfig
  const step = byConfig?.step ?? method?.step
  if (method === undefined) return
  throw inputError(
    `its weights are quantized: ${[method.title, ...details(told, method)].join(', ')}`,
    {
      ...where,
      suggestions: [
        'Take the original model, in bf16 or f16: its card mostly names it as base_model.',
        ...(step === undefined ? [] : [step]),
      ],
    },
  )
}

/** Fields of a quantization_config that people know a quantization by. */
const fields = ['quant_method', 'format', 'bits', 'group_size']

function details(told: JsonObject | undefined, { methods, title }: Method): string[] {
  if (told === undefined) return []
  return fields.flatMap((field) => {
    const value = told[field]
    if (typeof value !== 'string' && typeof value !== 'number') return []
    if (field === 'quant_method' && (methods.some((each) => each === value) || value === title))
      return []
    const text = String(value).slice(0, 40)
    return [field === 'bits' ? `${text} bit` : field === 'group_size' ? `groups of ${text}` : text]
  })
}

/** What a config.json says of a quantization: transformers' field, or MLX's. */
export function quantizationIn(fields: JsonObject | undefined): JsonObject | undefined {
  const told = fields?.quantization_config ?? fields?.quantization
  return isJsonObject(told) ? told : undefined
}

/** Names that PEFT gives the matrices of an adapter, and the weights that it wraps. */
const adapterName = /(^|\.)(lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|base_layer)(\.|$)/

/**
 * Refuses an adapter, and a model that was saved with its adapter apart.
 * @throws input error that says how to merge it
 */
export function refuseAdapters(
  names: readonly string[],
  where: { format: string; path: string },
): void {
  const found = names.filter((name) => adapterName.test(name))
  if (found.length === 0) return
  throw inputError(
    found.length === names.length
      ? 'it is a LoRA adapter, not a model: it has no weights of its base model'
      : 'it is a model with a LoRA adapter that is not merged into its weights',
    { ...where, suggestions: [mergeFirst] },
  )
}

export const mergeFirst =
  'Merge it first: load it with PEFT, call merge_and_unload() and save_pretrained(), and convert the result.'
