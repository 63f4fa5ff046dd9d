import { inputError } from '../io/errors.js'
import { isJsonObject, type Json, type JsonObject } from '../io/json.js'
import type { ModelConfig } from './config.js'
import { isScaling, originalField } from './rotary.js'

/**
 * The rotary fields of a config.json. Transformers 4 has `rope_theta` and `rope_scaling`;
 * transformers 5 has both in `rope_parameters`, and reads a `rope_scaling` first where there is
 * one, with a `rope_theta` in it. Where two places say different things, readers differ in which
 * they believe: that is refused.
 * @returns fields that nothing is said of are left out
 */
export function ropeFromHf(
  json: JsonObject,
  path: string,
): Partial<Pick<ModelConfig, 'rope_theta' | 'rope_scaling'>> {
  const places = (['rope_scaling', 'rope_parameters'] as const).flatMap((name) => {
    const value = json[name]
    if (value === undefined || value === null) return []
    if (!isJsonObject(value)) {
      throw inputError(`${name} is ${JSON.stringify(value)}, an object is expected`, { path })
    }
    return Object.keys(value).length === 0 ? [] : [{ name, value }]
  })
  for (const { name, value } of [{ name: 'config.json', value: json }, ...places]) {
    refuseVariants(name, value, path)
  }
  const thetas = [...places, { name: 'config.json', value: json }].flatMap(({ name, value }) =>
    value.rope_theta === undefined || value.rope_theta === null
      ? []
      : [{ name, value: value.rope_theta }],
  )
  for (const { name, value } of thetas) {
    if (typeof value === 'number' && value > 0) continue
    throw inputError(
      `${name === 'config.json' ? '' : `${name}.`}rope_theta is ${JSON.stringify(value)}, a positive number is expected`,
      { path },
    )
  }
  agree('rope_theta', thetas, path)
  const scalings = places.map(({ name, value }) => {
    const { rope_theta: _, ...scaling } = value
    return { name, value: isScaling(scaling) ? scaling : null }
  })
  agree(
    'the rotary scaling',
    scalings.map(({ name, value }) => ({ name, value: comparable(value) })),
    path,
  )
  agree(
    originalField,
    [...places, { name: 'config.json', value: json }].flatMap(({ name, value }) => {
      const original = value[originalField]
      return typeof original === 'number' ? [{ name, value: original }] : []
    }),
    path,
  )
  const [theta] = thetas
  const [scaling] = scalings
  return {
    ...(typeof theta?.value === 'number' ? { rope_theta: theta.value } : {}),
    ...(scaling === undefined
      ? json.rope_scaling === null
        ? { rope_scaling: null }
        : {}
      : { rope_scaling: scaling.value }),
  }
}

/** @throws input error with both values, where two places say different things */
function agree(what: string, places: readonly { name: string; value: Json }[], path: string): void {
  const [first, ...others] = places
  const other = others.find(({ value }) => JSON.stringify(value) !== JSON.stringify(first?.value))
  if (first === undefined || other === undefined) return
  throw inputError(
    `${what} is ${short(first.value)} in ${first.name}, and ${short(other.value)} in ${other.name}`,
    {
      path,
      suggestions: ['Readers differ in which they take: keep the right one, and remove the other.'],
    },
  )
}

function short(value: Json): string {
  const text = JSON.stringify(value)
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

/** By its newer name, without what is null, in one order. */
function comparable(scaling: JsonObject | null): JsonObject | null {
  if (scaling === null) return null
  const { type, ...fields } = scaling
  const named = { ...fields, rope_type: fields.rope_type ?? type ?? null }
  return Object.fromEntries(
    Object.entries(named)
      .filter(([, value]) => value !== null)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  )
}

/** Rotary embedding of other models: of a part of each head, or different from layer to layer. */
function refuseVariants(name: string, fields: JsonObject, path: string): void {
  const type = fields.rope_type ?? fields.type ?? null
  if (name !== 'config.json' && type !== null && typeof type !== 'string') {
    throw inputError(`the type of ${name} is ${short(type)}, a text is expected`, { path })
  }
  const partial = fields.partial_rotary_factor ?? 1
  if (partial !== 1) {
    throw inputError(
      `partial_rotary_factor is ${JSON.stringify(partial)}: only heads that are rotated as a whole are supported`,
      {
        path,
        suggestions: ['Transformers does not run a LLaMA so either: is it another architecture?'],
      },
    )
  }
  if (name === 'config.json') return
  if (fields.mrope_section !== undefined && fields.mrope_section !== null) {
    throw inputError(`${name} has an mrope_section, which is not supported`, { path })
  }
  const nested = Object.entries(fields).find(([, value]) => isJsonObject(value))
  if (nested !== undefined) {
    throw inputError(
      `${name} has parameters of its own for "${nested[0]}": layers with different rotary embeddings are not supported`,
      { path },
    )
  }
}
