import type { GgufEntry } from './gguf-vocab.js'

/**
 * A chat template in GGUF metadata, as llama.cpp's gguf-py has it: of templates with names the
 * one called "default" is `tokenizer.chat_template`, each other one has a key with its name, and
 * `tokenizer.chat_templates` lists those names.
 */

const key = 'tokenizer.chat_template'

/** @param template the `chat_template` of a tokenizer_config.json: a text, or a list of {name, template} */
export function templateEntries(template: unknown): { entries: GgufEntry[]; warnings: string[] } {
  if (typeof template === 'string') {
    return { entries: [{ key, type: 'string', value: template }], warnings: [] }
  }
  const named = new Map<string, string>()
  const warnings: string[] = []
  for (const each of Array.isArray(template) ? template : []) {
    const { name, text } = read(each)
    const safe = name?.replace(/[^A-Za-z0-9]/gu, '_')
    if (safe === undefined || safe === '' || text === undefined) {
      warnings.push('a chat template without a name or a text is left out.')
    } else if (named.has(safe)) {
      warnings.push(`a second chat template with the name "${safe}" is left out.`)
    } else named.set(safe, text)
  }
  const others = [...named.keys()].filter((name) => name !== 'default')
  const entries = others.map((name): GgufEntry => {
    return { key: `${key}.${name}`, type: 'string', value: named.get(name) ?? '' }
  })
  if (others.length > 0) entries.push({ key: `${key}s`, type: 'string[]', value: others })
  const usual = named.get('default')
  if (usual !== undefined) entries.push({ key, type: 'string', value: usual })
  else if (others.length > 0) {
    warnings.push(
      `of the chat templates (${others.join(', ')}) none is called "default": llama.cpp uses one only where it is asked for by name.`,
    )
  }
  return { entries, warnings }
}

/** The other way round: what a tokenizer_config.json would say. */
export function templateFromGguf(
  lookup: (key: string) => unknown,
): string | { name: string; template: string }[] | undefined {
  const said = lookup(key)
  const usual = typeof said === 'string' ? said : undefined
  const names = lookup(`${key}s`)
  const others = (Array.isArray(names) ? names : []).flatMap((name: unknown) => {
    const template = lookup(`${key}.${String(name)}`)
    return typeof template === 'string' ? [{ name: String(name), template }] : []
  })
  if (others.length === 0) return usual
  return usual === undefined ? others : [{ name: 'default', template: usual }, ...others]
}

function read(value: unknown): { name: string | undefined; text: string | undefined } {
  if (typeof value !== 'object' || value === null) return { name: undefined, text: undefined }
  const name = 'name' in value ? value.name : undefined
  const text = 'template' in value ? value.template : undefined
  return {
    name: typeof name === 'string' ? name : undefined,
    text: typeof text === 'string' ? text : undefined,
  }
}
