import type { GgmlType } from '../types/ggml.js'

/** A model as far as the mixes look at it. */
export interface MixModel {
  layers: number
  heads: number
  kvHeads: number
}

/** `general.quantization_version` of every file with block types. */
export const quantizationVersion = 2

/** The mixes of llama-quantize: most tensors' type, and what `general.file_type` says. */
export const mixes = {
  q4_0: { type: 'q4_0', fileType: 2 },
  q4_1: { type: 'q4_1', fileType: 3 },
  q5_0: { type: 'q5_0', fileType: 8 },
  q5_1: { type: 'q5_1', fileType: 9 },
  q8_0: { type: 'q8_0', fileType: 7 },
  q2_k: { type: 'q2_k', fileType: 10 },
  q3_k_s: { type: 'q3_k', fileType: 11 },
  q3_k_m: { type: 'q3_k', fileType: 12 },
  q3_k_l: { type: 'q3_k', fileType: 13 },
  q4_k_s: { type: 'q4_k', fileType: 14 },
  q4_k_m: { type: 'q4_k', fileType: 15 },
  q5_k_s: { type: 'q5_k', fileType: 16 },
  q5_k_m: { type: 'q5_k', fileType: 17 },
  q6_k: { type: 'q6_k', fileType: 18 },
} as const satisfies Record<string, { type: GgmlType; fileType: number }>

export type MixName = keyof typeof mixes

/** As users write them. */
export const mixNames: readonly MixName[] = Object.keys(mixes).filter(isMixName)

export function isMixName(name: string): name is MixName {
  return Object.hasOwn(mixes, name)
}

/** What a tensor is in the model. The mixes treat all others alike. */
export type MixRole = 'output' | 'embedding' | 'attn_v' | 'attn_output' | 'ffn_down' | 'other'

export function mixRoleOf(name: string): MixRole {
  if (name === 'output.weight') return 'output'
  if (name === 'token_embd.weight') return 'embedding'
  if (name.includes('attn_v.weight')) return 'attn_v'
  if (name.includes('attn_output.weight')) return 'attn_output'
  if (name.includes('ffn_down')) return 'ffn_down'
  return 'other'
}

/** What a tensor's type in a mix depends on. */
export interface MixPlace {
  role: MixRole
  /** How many tensors of this role came before, of how many: layers, unless some are overridden. */
  index: number
  count: number
  geometry: MixModel
  /** Whether the quantization is guided by an importance matrix. */
  importance: boolean
}

/** The type that a mix gives a tensor whose rows fill whole blocks of any type. */
export function mixType(mix: MixName, place: MixPlace): GgmlType {
  const { role, index, count } = place
  const plain = mixes[mix].type
  switch (role) {
    case 'output':
      return mix === 'q8_0' ? 'q8_0' : 'q6_k'
    case 'attn_v':
      return attentionValueType(mix, place)
    case 'attn_output':
      if (mix === 'q2_k') return 'q3_k'
      if (mix === 'q3_k_m') return 'q4_k'
      if (mix === 'q3_k_l') return 'q5_k'
      return plain
    case 'ffn_down':
      if (mix === 'q2_k') return 'q3_k'
      if (mix === 'q3_k_m') return index < Math.floor(count / 16) ? 'q5_k' : 'q4_k'
      if (mix === 'q3_k_l') return 'q5_k'
      if (mix === 'q4_k_s') return isEarly(index, count) ? 'q5_k' : plain
      if (mix === 'q4_k_m' || mix === 'q5_k_m') return needsMoreBits(index, count) ? 'q6_k' : plain
      // With importance the plain searches can fail in the first layers; a minimum mends that.
      if (place.importance && isEarly(index, count)) {
        if (mix === 'q4_0') return 'q4_1'
        if (mix === 'q5_0') return 'q5_1'
      }
      return plain
    default:
      return plain
  }
}

function attentionValueType(mix: MixName, { index, count, geometry }: MixPlace): GgmlType {
  const sharing = Math.floor(geometry.heads / geometry.kvHeads)
  const type = ((): GgmlType => {
    if (mix === 'q2_k') return sharing >= 4 ? 'q4_k' : 'q3_k'
    if (mix === 'q3_k_m') return index < 2 ? 'q5_k' : 'q4_k'
    if (mix === 'q3_k_l') return 'q5_k'
    if (mix === 'q4_k_s') return index < 4 ? 'q5_k' : 'q4_k'
    const more = mix === 'q4_k_m' || mix === 'q5_k_m'
    return more && needsMoreBits(index, count) ? 'q6_k' : mixes[mix].type
  })()
  // 70B: eight heads share a value matrix, so that better bits cost next to nothing.
  const is70B = geometry.layers === 80 && geometry.heads !== geometry.kvHeads
  return is70B && (type === 'q3_k' || type === 'q4_k') ? 'q5_k' : type
}

/** The first eighth. */
function isEarly(index: number, count: number): boolean {
  return index < Math.floor(count / 8)
}

/** The first and the last eighth, and every third between. */
function needsMoreBits(index: number, count: number): boolean {
  const eighth = Math.floor(count / 8)
  return index < eighth || index >= Math.floor((7 * count) / 8) || (index - eighth) % 3 === 2
}
