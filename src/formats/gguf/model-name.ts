/**
 * What can be told from a model's name, such as `openlm/Open-Llama-7B-v2`, by
 * the rules of llama.cpp's converter: GGUF keeps the parts under keys of their own.
 */
export interface NameParts {
  name?: string
  organization?: string
  basename?: string
  finetune?: string
  version?: string
  sizeLabel?: string
}

type Kind = 'version' | 'type' | 'size' | 'finetune' | 'basename'

const patterns = {
  version: /^(v|iter)?\d+(\.\d+)*$/i,
  type: /^(i?q\d(_\w)*|b?fp?(16|32))$/i,
  size: /^((a|\d+x)?\d+([._]\d+)?[kmbt]\d?|small|mini|medium|large|x?xl)$/i,
  finetune: /^(chat|instruct|vision|lora)$/i,
}

/**
 * Takes a name apart.
 * @param parameters of the model: a size far from it is no size (a context length, say)
 */
export function namePartsOf(id: string, parameters: number): NameParts {
  // A sentence is a name and nothing else.
  if (id.includes(' ')) return { name: id }
  const slash = id.indexOf('/')
  const owner = slash === -1 ? '' : id.slice(0, slash)
  const full = id.slice(slash + 1)
  const parts = full
    .split('-')
    .filter((part) => part !== '')
    .map((part, i) => kindsOf(part, i, parameters))
  dropWordSizes(parts)
  markBasename(parts)
  const joined = (kind: Kind, but?: Kind) =>
    parts.filter(({ kinds }) => kinds.has(kind) && !(but && kinds.has(but))).map(({ text }) => text)
  const basename = joined('basename').join('-')
  const sizeLabel = [...new Set(joined('size'))].join('-')
  const finetune = joined('finetune').join('-')
  const version = joined('version', 'basename').join('-')
  // One word alone is too ambiguous to be called a base name.
  const telling = sizeLabel !== '' || finetune !== '' || version !== ''
  return {
    name: full,
    ...(owner === '' || owner.startsWith('.') ? {} : { organization: owner }),
    ...(telling && basename !== '' ? { basename } : {}),
    ...(finetune === '' ? {} : { finetune }),
    ...(version === '' ? {} : { version }),
    ...(sizeLabel === '' ? {} : { sizeLabel }),
  }
}

interface NamePart {
  text: string
  kinds: Set<Kind>
}

function kindsOf(part: string, index: number, parameters: number): NamePart {
  if (patterns.version.test(part)) return { text: part, kinds: new Set(['version']) }
  if (patterns.type.test(part)) return { text: part.toUpperCase(), kinds: new Set(['type']) }
  if (index > 0 && patterns.size.test(part)) return sizeOf(part, parameters)
  if (index > 0 && patterns.finetune.test(part)) return { text: part, kinds: new Set(['finetune']) }
  return { text: part, kinds: new Set() }
}

function sizeOf(part: string, parameters: number): NamePart {
  let text = part.replaceAll('_', '.')
  // bloom-7b1 means 7.1B.
  if (/\d$/.test(text)) text = `${text.slice(0, -2)}.${text.slice(-1)}${text.slice(-2, -1)}`
  if (/\d[kmbt]$/.test(text)) text = text.slice(0, -1) + text.slice(-1).toUpperCase()
  const number = Number(text.slice(0, -1))
  const claimed = number * 1000 ** ' KMBT'.indexOf(text.slice(-1))
  if (parameters > 0 && Math.abs(claimed - parameters) > Math.floor((7 * parameters) / 8)) {
    return {
      text: text.slice(0, -1) + text.slice(-1).toLowerCase(),
      kinds: new Set(['finetune']),
    }
  }
  return { text, kinds: new Set(['size']) }
}

/** Where a number says the size, words such as "mini" belong to the name. */
function dropWordSizes(parts: readonly NamePart[]): void {
  const sizes = parts.filter(({ kinds }) => kinds.has('size'))
  if (!sizes.some(({ text }) => /\d/.test(text))) return
  for (const { text, kinds } of sizes) if (/^[a-z]+$/i.test(text)) kinds.delete('size')
}

/** The base name is what stands before the first part of another kind. */
function markBasename(parts: readonly NamePart[]): void {
  let atStart = true
  for (const { text, kinds } of parts) {
    if (atStart && ((kinds.size === 0 && /^\p{L}/u.test(text)) || kinds.has('version'))) {
      kinds.add('basename')
      continue
    }
    atStart = false
    if (kinds.size === 0) kinds.add('finetune')
  }
  // A version at the end of the base name is the version.
  for (const { kinds } of parts.toReversed()) {
    if (!kinds.has('basename') || kinds.size === 1) break
    kinds.delete('basename')
  }
}

/** `open-llama-3b-v2` → `Open Llama 3b v2`: words in lower case get capitals, versions and sizes none. */
export function titleOf(name: string): string {
  return name
    .trim()
    .replaceAll('-', ' ')
    .split(/\s+/)
    .map((word) => {
      const lower = word === word.toLowerCase() && word !== word.toUpperCase()
      if (!lower || /^(v\d+(\.\d+)*|\d.*)$/.test(word)) return word
      return word.replace(
        /\p{L}+/gu,
        (letters) => letters.charAt(0).toUpperCase() + letters.slice(1),
      )
    })
    .join(' ')
}

/** A count of parameters as GGUF labels it: 769K, 1.2B, 13B. */
export function sizeLabel(parameters: number): string {
  const [scale, suffix] =
    parameters > 1e12
      ? [1e-12, 'T']
      : parameters > 1e9
        ? [1e-9, 'B']
        : parameters > 1e6
          ? [1e-6, 'M']
          : [1e-3, 'K']
  const scaled = parameters * scale
  const digits = fixed(scaled, 0).replace(/^0+/, '').length
  return fixed(scaled, Math.max(2 - digits, 0)) + suffix
}

/** Decimal places as Python rounds: a tie goes to the even digit, where toFixed goes up. */
function fixed(value: number, places: number): string {
  const doubled = value * 2 * 10 ** places
  const tie = Number.isInteger(value * 2 ** (places + 1)) && Math.abs(doubled % 2) === 1
  if (!tie) return value.toFixed(places)
  const below = (doubled - 1) / 2
  return ((below % 2 === 0 ? below : below + 1) / 10 ** places).toFixed(places)
}
