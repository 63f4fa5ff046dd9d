import {
  type Architecture,
  kernelNamings,
  type Naming,
  type Role,
  type Switch,
} from '../architectures/architecture.js'
import { architectures } from '../architectures/index.js'
import { embeddingName } from '../architectures/roles.js'
import type { Layout } from './tensor.js'

/** The tensors of an architecture: its table of roles, read in both directions. */

export interface Named {
  role: Role
  /** The layer, where the role has one. */
  layer?: number
  /** The expert within it, likewise. */
  expert?: number
}

/** How a tensor of an architecture lies in a format of this naming. */
export function layoutIn(
  { rotary, bindings }: Architecture,
  naming: Naming,
  role: Role,
  headDim: number,
): Layout {
  const order = rotary[naming] ?? rotary.hf
  const added = (bindings[naming] ?? []).find(
    ({ op, stored }) => op === 'add' && stored === role.names[naming],
  )
  return {
    transposed:
      kernelNamings.has(naming) && role.shape.length === 2 && role.names.hf !== embeddingName,
    ...(role.rotary ? { rotary: { order, headDim } } : {}),
    ...(added?.op === 'add' ? { added: added.value } : {}),
  }
}

/** The role of a stored name, or undefined where the architecture has none of that name. */
export function roleOf(
  architecture: Architecture,
  storedName: string,
  naming: Naming,
): Named | undefined {
  const { pattern, numbers } = numbersIn(storedName)
  const role = tableOf(architecture, naming).get(pattern)
  if (role === undefined) return undefined
  const [layer, expert] = numbers
  return {
    role,
    ...(layer === undefined ? {} : { layer }),
    ...(expert === undefined ? {} : { expert }),
  }
}

/** A name with `{i}` and `{e}` in the place of its first two numbers, as the tables have it. */
export function numbersIn(name: string): { pattern: string; numbers: number[] } {
  const numbers: number[] = []
  // The tables' own "{i}" is no layer.
  if (name.includes('{')) return { pattern: '', numbers }
  const pattern = name.replace(/(?<=[./])(?:0|[1-9]\d*)(?=[./])/g, (digits) => {
    // "07" is no layer: it would give two names for one tensor.
    if (numbers.length === 2) return digits
    numbers.push(Number(digits))
    return numbers.length === 1 ? '{i}' : '{e}'
  })
  return { pattern, numbers }
}

/** Whether some architecture calls a tensor so. */
export function isKnownName(storedName: string, naming: Naming): boolean {
  return architectures.some((each) => roleOf(each, storedName, naming) !== undefined)
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

/** Hugging Face's name for a role. */
export function canonicalName(named: Named): string {
  return withNumbers(named.role.names.hf, [named.layer, named.expert])
}

/** The name that `naming` has for a role, where it has any. */
export function nameIn(named: Named, naming: Naming): string | undefined {
  const name = named.role.names[naming]
  return name === undefined ? undefined : withNumbers(name, [named.layer, named.expert])
}

/**
 * The tensors of a model, in the order of a forward pass.
 * @param isOn which of the configuration's switches are on; without it, all that there may be
 */
export function allTensors(
  { roles: all }: Architecture,
  layers: number,
  isOn: (name: Switch) => boolean = () => true,
): Named[] {
  const roles = all.filter(
    ({ presence }) => presence === 'always' || presence === 'untied' || isOn(presence),
  )
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

function isPerLayer(role: Role): boolean {
  return role.names.hf.includes('{i}')
}

/** A name with a layer and an expert in it, as far as it has places for them. */
export function withNumbers(
  name: string,
  [layer, expert]: readonly (number | undefined)[],
): string {
  return name.replace('{i}', String(layer)).replace('{e}', String(expert))
}

const tables = new Map<Architecture, Map<Naming, ReadonlyMap<string, Role>>>()

function tableOf(architecture: Architecture, naming: Naming): ReadonlyMap<string, Role> {
  const own = tables.get(architecture) ?? new Map<Naming, ReadonlyMap<string, Role>>()
  tables.set(architecture, own)
  const known = own.get(naming)
  if (known !== undefined) return known
  const table = new Map(
    architecture.roles.flatMap((role): [string, Role][] => {
      const name = role.names[naming]
      return name === undefined ? [] : [[name, role]]
    }),
  )
  own.set(naming, table)
  return table
}
