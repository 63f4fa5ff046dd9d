import { type Naming, namings } from '../architectures/architecture.js'
import { inputError } from '../io/errors.js'
import type { OtherArray, StoredArray } from './checkpoint.js'

/**
 * Wrappers that training puts around a model, and that stand before all of its
 * names when the wrapper is saved in its place: torch.compile, data parallelism,
 * FSDP, a Lightning module, PEFT.
 */
const wrappers = [
  'base_model.model.',
  '_orig_mod.',
  '_forward_module.',
  '_fsdp_wrapped_module.',
  'module.',
  'model.',
]

/** Wrappers of single layers, within names; no module of a model is called so. */
const inner = /(?<=\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\./g

/** What a name of the embedding ends with, by Hugging Face's and by Meta's table. */
const anchors = ['embed_tokens.weight', 'tok_embeddings.weight']

/** The names of a state dict, whoever's they are, without what training put before them. */
export interface StateNames {
  naming: Extract<Naming, 'hf' | 'meta'>
  arrays: StoredArray[]
  others: OtherArray[]
  notes: string[]
}

/**
 * Finds out whose names a state dict has, and takes wrappers off: only where all
 * names carry the wrapper, the embedding's place says which, and names stay unique.
 * @throws input error where two tensors would have one name
 */
export function stateNames(
  arrays: readonly StoredArray[],
  others: readonly OtherArray[],
  where: { format: string; path: string },
): StateNames {
  const names = [...arrays, ...others].map(({ name }) => name)
  // Wrappers of single layers may stand in the way of those of the whole.
  const outer = wrapperOf(names)
  const plain = names.map((name) => name.slice(outer.length).replace(inner, ''))
  const second = wrapperOf(plain)
  const bare = plain.map((name) => name.slice(second.length))
  const embedding = embeddingIn(bare)
  const naming = embedding === 'tok_embeddings.weight' ? namings.meta : 'hf'
  // LlamaModel, saved without the model that has the head, knows no "model.".
  const headless = embedding === 'embed_tokens.weight'
  const renamed = bare.map((name) =>
    headless && !name.startsWith('lm_head.') ? `model.${name}` : name,
  )
  checkUnique(names, renamed, where)
  const rename = <T extends { name: string }>(items: readonly T[], from: number): T[] =>
    items.map((item, i) => ({ ...item, name: renamed[from + i] ?? item.name }))
  return {
    naming,
    arrays: rename(arrays, 0),
    others: rename(others, arrays.length),
    notes: notesOf({
      prefix: outer + second,
      headless,
      inner: plain.some((name, i) => outer + name !== names[i]),
    }),
  }
}

/** The one name of the embedding, or '' where there is none or there are several. */
function embeddingIn(names: readonly string[]): string {
  const found = names.filter((name) => anchors.some((anchor) => endsWith(name, anchor)))
  return (found.length === 1 && found[0]) || ''
}

/** What all names begin with, up to the model's own names, where it is made of wrappers alone. */
function wrapperOf(names: readonly string[]): string {
  const embedding = embeddingIn(names)
  const anchor = anchors.find((each) => endsWith(embedding, each)) ?? ''
  const before = embedding.slice(0, embedding.length - anchor.length)
  // "model." before the embedding is Hugging Face's own, where it is no wrapper's.
  const candidates =
    anchor === 'embed_tokens.weight' ? [before.replace(/model\.$/, ''), before] : [before]
  const prefix = candidates.find(isMadeOfWrappers) ?? ''
  return names.every((name) => name.startsWith(prefix)) ? prefix : ''
}

function isMadeOfWrappers(text: string): boolean {
  let rest = text
  while (rest !== '') {
    const wrapper = wrappers.find((each) => rest.startsWith(each))
    if (wrapper === undefined) return false
    rest = rest.slice(wrapper.length)
  }
  return true
}

function checkUnique(
  names: readonly string[],
  renamed: readonly string[],
  where: { format: string; path: string },
): void {
  const first = new Map<string, string>()
  names.forEach((name, i) => {
    const own = renamed[i] ?? name
    const other = first.get(own)
    if (other !== undefined && other !== name) {
      throw inputError(`without what training put before it, it is the same name as "${other}"`, {
        ...where,
        tensor: name,
      })
    }
    first.set(own, name)
  })
}

function notesOf(found: { prefix: string; headless: boolean; inner: boolean }): string[] {
  return [
    ...(found.prefix === ''
      ? []
      : [`"${found.prefix}" stands before the name of every tensor: it is taken off`]),
    ...(found.inner
      ? ['"_orig_mod." and its kin within the names of tensors are taken out of them']
      : []),
    ...(found.headless
      ? ['the names lack "model.", as LlamaModel saves them: it is put before them']
      : []),
  ]
}

/** Whether a name is `ending`, or has it as its last steps. */
function endsWith(name: string, ending: string): boolean {
  return name === ending || name.endsWith(`.${ending}`)
}
