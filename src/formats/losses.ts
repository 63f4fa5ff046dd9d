import { effectiveWindow, type ModelConfig } from '../checkpoint/config.js'
import { scalingType } from '../checkpoint/rotary.js'
import type { Json } from '../io/json.js'
import type { Loss } from '../record/provenance.js'

/** What the reference code of a format computes with, beyond what every LLaMA has. */
export interface Abilities {
  /** As sentences call it. */
  reader: string
  window: boolean
  /** The scaling of this model, where the model has one. */
  scaling: boolean
  /** Heads of another size than hidden_size / num_attention_heads. */
  headDim: boolean
}

/** What is lost of a model for who reads it so. */
export function lossesOf(config: ModelConfig, abilities: Abilities): Loss[] {
  const { hidden_size, num_attention_heads, head_dim, rope_scaling } = config
  const { reader } = abilities
  const losses: Loss[] = []
  if (rope_scaling !== null && !abilities.scaling) {
    const type = scalingType(rope_scaling)
    losses.push({
      field: 'rope_scaling',
      what: `${reader} cannot say the rotary scaling ${JSON.stringify(type)}`,
      from: rope_scaling,
      to: null,
      // A base that grows with the text is the plain one up to the context.
      since: type === 'dynamic' ? config.max_position_embeddings : 0,
    })
  }
  const window = effectiveWindow(config)
  if (window !== null && !abilities.window) {
    losses.push({
      field: 'sliding_window',
      what: `${reader} has no sliding window`,
      from: window,
      to: null,
      since: window,
    })
  }
  const usual = hidden_size / num_attention_heads
  if (head_dim !== usual && !abilities.headDim) {
    losses.push({
      field: 'head_dim',
      what: `${reader} takes hidden_size / num_attention_heads for head_dim`,
      from: head_dim,
      to: usual,
      since: null,
    })
  }
  return losses
}

/** Whether a loss changes what is computed of texts that fit into the model's context. */
export function needsLeave({ since }: Loss, { max_position_embeddings }: ModelConfig): boolean {
  return since === null || since < max_position_embeddings
}

/** A loss as a sentence: what, from, to, and since where it changes what is computed. */
export function describeLoss({ field, what, from, to, since }: Loss): string {
  const becomes = `${field} ${short(from)} becomes ${short(to)}`
  if (since === null) return `${what}: ${becomes}, and it does not load the model`
  const where = since === 0 ? 'from the first tokens on' : `for texts of more than ${since} tokens`
  return `${what}: ${becomes}, which changes what is computed ${where}`
}

function short(value: Json): string {
  const text = JSON.stringify(value)
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}
