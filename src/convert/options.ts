import type { Format, FormatOption, QuantizeOption } from '../formats/format.js'
import { formats } from '../formats/index.js'
import { usageError } from '../io/errors.js'
import type { ConvertOptions } from './convert.js'
import type { MixOptions } from './mix.js'

/**
 * Options that a format does not know are refused before anything is read: one that is passed over
 * would stand in the record as if it had been used.
 * @throws usage error that names the formats and types that the option is for
 */
export function checkOptions(format: Format, options: ConvertOptions): void {
  checkType(format, options.dtype)
  for (const flag of givenOptions(options)) {
    if (format.options?.includes(flag)) continue
    const knowing = formats.filter((each) => each.options?.includes(flag))
    throw usageError(
      `${quoted(flag)} is for ${sentence(knowing.map(({ name }) => name))}, the format is ${format.name}`,
      { suggestions: ['Leave it out: it would change nothing.'] },
    )
  }
  const flags = givenQuantizeOptions(options.mix ?? {})
  const [first] = flags
  if (first === undefined) return
  const { types = [], options: known = [] } = format.quantized ?? {}
  if (!types.includes(options.dtype)) {
    const own = formats.flatMap((each) => (each.quantized ? [each.quantized] : []))
    const fitting = own.filter((each) => flags.every((flag) => each.options.includes(flag)))
    throw usageError(`${quoted(first)} is for quantized types, and \`dtype\` is ${options.dtype}`, {
      suggestions: [`Choose \`dtype\` ${sentence(fitting.flatMap((each) => each.types))}.`],
    })
  }
  const unknown = flags.find((flag) => !known.includes(flag))
  if (unknown === undefined) return
  const knowing = formats.filter((each) => each.quantized?.options.includes(unknown))
  throw usageError(
    `${quoted(unknown)} is for the quantized types of ${sentence(knowing.map(({ name }) => name))}, and ${options.dtype} is a type of ${format.name}`,
    { suggestions: [`Of such options, ${format.name} knows ${sentence(known.map(quoted))}.`] },
  )
}

/** @throws usage error where the type is another format's */
function checkType({ name, quantized }: Format, dtype: string): void {
  const other = formats.find((each) => each.quantized?.types.includes(dtype))
  if (other === undefined || other.name === name) return
  const types = ['f32', 'f16', 'bf16', ...(quantized?.types ?? [])]
  throw usageError(`${dtype} is a type of ${other.name}; ${name} has ${sentence(types)}`)
}

/** The options of formats that are given: each is declared by the formats that know it. */
function givenOptions(options: ConvertOptions): FormatOption[] {
  const all = new Set(formats.flatMap((each) => each.options ?? []))
  return [...all].filter((name) => isGiven(options[name]))
}

function givenQuantizeOptions(mix: MixOptions): QuantizeOption[] {
  const all = new Set(formats.flatMap((each) => each.quantized?.options ?? []))
  return [...all].filter((name) => isGiven(mix[name]))
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== false
}

/** As texts name an option. */
function quoted(option: string): string {
  return `\`${option}\``
}

function sentence(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}
