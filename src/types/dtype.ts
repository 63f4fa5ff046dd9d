/**
 * Element types of stored tensors, a record each, from which every other table of types derives.
 */
interface ElementType {
  /** `float`: an element by itself; `block`: several share scales that lie with them (GGUF's
   * quantized types); `levels` and `scales`: ONNX's, which keeps the two apart, as two tensors. */
  readonly kind: 'float' | 'block' | 'levels' | 'scales'
  /** Elements of a row that are packed together, into so many bytes. */
  readonly block: number
  readonly bytes: number
  /** How files call it: ggml's name and number, safetensors', numpy's (and torch's, and JAX's). */
  readonly ggml?: { readonly name: string; readonly id: number }
  readonly safetensors?: string
  readonly numpy?: string
  /** The class of torch's storages of it. */
  readonly storage?: string
  /** ONNX's data type (onnx.proto, TensorProto.DataType). */
  readonly onnx?: 'DOUBLE' | 'FLOAT' | 'FLOAT16' | 'BFLOAT16'
  /** llama.cpp's number of files whose matrices are all of it (LLAMA_FTYPE). */
  readonly fileType?: number
  /** The bits of the exponent: all of them are set in NaN and infinities. */
  readonly exponent?: number
  /** The kernels that make it of f32, and f32 of it. */
  readonly quantize?: string
  readonly dequantize?: string
  /** Of scales: the levels that they are of, and the kernel that makes f32 of both. */
  readonly levels?: string
  readonly decode?: string
  /** Where in a block its f16 scales and minima are, in bytes. */
  readonly scalesAt?: readonly number[]
  /**
   * Its search for scales can lose too large values: from some 1e14 on its sums overflow, and a
   * block becomes zeros with a scale that looks right. In the others the scale becomes infinite.
   */
  readonly loses?: true
  /**
   * Its search for scales ends in zeros where by an importance matrix no column counts, in
   * llama-quantize too, which says nothing of it. The others keep what they have without importance.
   */
  readonly zeroes?: true
  /** What ggml takes in its place where rows fill no whole blocks. */
  readonly standIn?: string
  /**
   * What a quantized type costs by llama.cpp's table for LLaMA 3 8B (tools/perplexity/README.md): mean
   * KL and same top token, of the worst mix that has it; and what a check allows of a tensor's square
   * in the logits and of the perplexity.
   */
  readonly published?: {
    readonly kld: number
    readonly top1: number
    readonly nmse: number
    readonly perplexity: number
  }
  /** Σ (a − s)² / Σ s² that rounding a tensor to it may leave, in a check. */
  readonly distance?: number
}

export const dtypes = {
  f64: {
    kind: 'float',
    block: 1,
    bytes: 8,
    ggml: { name: 'F64', id: 28 },
    safetensors: 'F64',
    numpy: 'float64',
    storage: 'DoubleStorage',
    onnx: 'DOUBLE',
  },
  f32: {
    kind: 'float',
    block: 1,
    bytes: 4,
    ggml: { name: 'F32', id: 0 },
    safetensors: 'F32',
    numpy: 'float32',
    storage: 'FloatStorage',
    onnx: 'FLOAT',
    fileType: 0,
    exponent: 0x7f800000,
    distance: 1e-12,
  },
  f16: {
    kind: 'float',
    block: 1,
    bytes: 2,
    ggml: { name: 'F16', id: 1 },
    safetensors: 'F16',
    numpy: 'float16',
    storage: 'HalfStorage',
    onnx: 'FLOAT16',
    fileType: 1,
    exponent: 0x7c00,
    distance: 1e-6,
  },
  bf16: {
    kind: 'float',
    block: 1,
    bytes: 2,
    ggml: { name: 'BF16', id: 30 },
    safetensors: 'BF16',
    numpy: 'bfloat16',
    storage: 'BFloat16Storage',
    onnx: 'BFLOAT16',
    fileType: 32,
    exponent: 0x7f80,
    distance: 1e-5,
  },
  q4_0: {
    kind: 'block',
    block: 32,
    bytes: 18,
    ggml: { name: 'Q4_0', id: 2 },
    quantize: 'quantizeQ4_0',
    dequantize: 'dequantizeQ4_0',
    scalesAt: [0],
    zeroes: true,
    published: { kld: 0.072, top1: 0.88, nmse: 3e-2, perplexity: 0.3 },
    distance: 4e-2,
  },
  q4_1: {
    kind: 'block',
    block: 32,
    bytes: 20,
    ggml: { name: 'Q4_1', id: 3 },
    quantize: 'quantizeQ4_1',
    dequantize: 'dequantizeQ4_1',
    scalesAt: [0, 2],
    published: { kld: 0.072, top1: 0.88, nmse: 3e-2, perplexity: 0.3 },
    distance: 4e-2,
  },
  q5_0: {
    kind: 'block',
    block: 32,
    bytes: 22,
    ggml: { name: 'Q5_0', id: 6 },
    quantize: 'quantizeQ5_0',
    dequantize: 'dequantizeQ5_0',
    scalesAt: [0],
    zeroes: true,
    published: { kld: 0.022, top1: 0.94, nmse: 1e-2, perplexity: 0.15 },
    distance: 8e-3,
  },
  q5_1: {
    kind: 'block',
    block: 32,
    bytes: 24,
    ggml: { name: 'Q5_1', id: 7 },
    quantize: 'quantizeQ5_1',
    dequantize: 'dequantizeQ5_1',
    scalesAt: [0, 2],
    published: { kld: 0.018, top1: 0.94, nmse: 1e-2, perplexity: 0.15 },
    distance: 8e-3,
  },
  q8_0: {
    kind: 'block',
    block: 32,
    bytes: 34,
    ggml: { name: 'Q8_0', id: 8 },
    quantize: 'quantizeQ8_0',
    dequantize: 'dequantizeQ8_0',
    scalesAt: [0],
    published: { kld: 0.0014, top1: 0.977, nmse: 2e-3, perplexity: 0.02 },
    distance: 2e-4,
  },
  q2_k: {
    kind: 'block',
    block: 256,
    bytes: 84,
    ggml: { name: 'Q2_K', id: 10 },
    quantize: 'quantizeQ2_K',
    dequantize: 'dequantizeQ2_K',
    scalesAt: [80, 82],
    zeroes: true,
    loses: true,
    standIn: 'q4_0',
    published: { kld: 0.45, top1: 0.71, nmse: 0.2, perplexity: 1.2 },
    distance: 0.4,
  },
  q3_k: {
    kind: 'block',
    block: 256,
    bytes: 110,
    ggml: { name: 'Q3_K', id: 11 },
    quantize: 'quantizeQ3_K',
    dequantize: 'dequantizeQ3_K',
    scalesAt: [108],
    zeroes: true,
    loses: true,
    standIn: 'q4_0',
    published: { kld: 0.23, top1: 0.82, nmse: 0.1, perplexity: 0.6 },
    distance: 0.15,
  },
  q4_k: {
    kind: 'block',
    block: 256,
    bytes: 144,
    ggml: { name: 'Q4_K', id: 12 },
    quantize: 'quantizeQ4_K',
    dequantize: 'dequantizeQ4_K',
    scalesAt: [0, 2],
    zeroes: true,
    loses: true,
    standIn: 'q5_0',
    published: { kld: 0.043, top1: 0.9, nmse: 3e-2, perplexity: 0.3 },
    distance: 4e-2,
  },
  q5_k: {
    kind: 'block',
    block: 256,
    bytes: 176,
    ggml: { name: 'Q5_K', id: 13 },
    quantize: 'quantizeQ5_K',
    dequantize: 'dequantizeQ5_K',
    scalesAt: [0, 2],
    zeroes: true,
    loses: true,
    standIn: 'q5_1',
    published: { kld: 0.017, top1: 0.94, nmse: 1e-2, perplexity: 0.15 },
    distance: 8e-3,
  },
  q6_k: {
    kind: 'block',
    block: 256,
    bytes: 210,
    ggml: { name: 'Q6_K', id: 14 },
    quantize: 'quantizeQ6_K',
    dequantize: 'dequantizeQ6_K',
    scalesAt: [208],
    zeroes: true,
    loses: true,
    standIn: 'q8_0',
    published: { kld: 0.0055, top1: 0.96, nmse: 5e-3, perplexity: 0.08 },
    distance: 2e-3,
  },
  q4: {
    kind: 'levels',
    block: 32,
    bytes: 16,
    quantize: 'quantizeQ4',
    published: { kld: 0.072, top1: 0.88, nmse: 3e-2, perplexity: 0.3 },
    distance: 4e-2,
  },
  q8: {
    kind: 'levels',
    block: 32,
    bytes: 32,
    quantize: 'quantizeQ8',
    published: { kld: 0.0014, top1: 0.977, nmse: 2e-3, perplexity: 0.02 },
    distance: 2e-4,
  },
  q4_scales: {
    kind: 'scales',
    block: 32,
    bytes: 4,
    quantize: 'scalesQ4',
    levels: 'q4',
    decode: 'decodeQ4',
  },
  q4_scales_f16: {
    kind: 'scales',
    block: 32,
    bytes: 2,
    quantize: 'scalesQ4F16',
    levels: 'q4',
    decode: 'decodeQ4F16',
  },
  q8_scales: {
    kind: 'scales',
    block: 32,
    bytes: 4,
    quantize: 'scalesQ8',
    levels: 'q8',
    decode: 'decodeQ8',
  },
} as const satisfies Record<string, ElementType>

export type DType = keyof typeof dtypes

/** The types that are of a kind. */
type OfKind<Kind> = { [T in DType]: (typeof dtypes)[T]['kind'] extends Kind ? T : never }[DType]

/** The types whose elements are numbers of their own. */
export type Float = OfKind<'float'>
/** ONNX's: the levels of 32 elements, or the scale that they share. */
export type LevelType = OfKind<'levels'>
export type ScaleType = OfKind<'scales'>
/** GGUF's quantized types: several elements share a scale, which lies with them. */
export type BlockType = OfKind<'block'>

/** All of them, in the order of the records. */
export const dtypeNames: readonly DType[] = Object.keys(dtypes).filter(isDType)

export function isDType(name: string): name is DType {
  return Object.hasOwn(dtypes, name)
}

export function isFloat(dtype: DType): dtype is Float {
  return dtypes[dtype].kind === 'float'
}

export function isBlock(dtype: DType): dtype is BlockType {
  return dtypes[dtype].kind === 'block'
}

/** The names of kernels that some types have. */
export type QuantizeKernel = Extract<(typeof dtypes)[DType], { quantize: string }>['quantize']
export type DequantizeKernel = (typeof dtypes)[BlockType]['dequantize']
export type DecodeKernel = (typeof dtypes)[ScaleType]['decode']

export function isLevels(dtype: DType): dtype is LevelType {
  return dtypes[dtype].kind === 'levels'
}

export function isScale(dtype: DType): dtype is ScaleType {
  return dtypes[dtype].kind === 'scales'
}

/** The record of a type, with all that some types have and others not. */
export function recordOf(dtype: DType): ElementType {
  return dtypes[dtype]
}

/** The types by what some files call them; a map, since a file may name any text. */
export function typesBy<Key>(
  nameOf: (type: ElementType) => Key | undefined,
): ReadonlyMap<Key, DType> {
  return new Map(
    dtypeNames.flatMap((dtype): [Key, DType][] => {
      const key = nameOf(dtypes[dtype])
      return key === undefined ? [] : [[key, dtype]]
    }),
  )
}

/** The types a cast can have as its target: those every format can hold. */
export const floatTypes = ['f32', 'f16', 'bf16'] as const
export type FloatType = (typeof floatTypes)[number]

export function isFloatType(dtype: string): dtype is FloatType {
  return floatTypes.some((name) => name === dtype)
}

/**
 * Bytes that `count` elements take. `count` must fill whole blocks.
 */
export function byteLength(dtype: DType, count: number): number {
  const { block, bytes } = dtypes[dtype]
  return (count / block) * bytes
}

/** Elements of a shape; undefined when it is no safe size (a header may claim anything). */
export function elementCount(shape: readonly number[]): number | undefined {
  let count = 1
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) return undefined
    count *= size
    if (!Number.isSafeInteger(count)) return undefined
  }
  return count
}
