import { isBlock } from '../checkpoint/dtype.js'
import { code, plain } from './markdown.js'
import type { Fallback } from './records.js'
import type { Subject } from './subject.js'

/** What somebody who uses the model should know; empty where there is nothing. */
export function limitsSection(subject: Subject): string {
  const points = [
    ...tokenizerLimits(subject),
    ...fallbackLimits(subject),
    ...valueLimits(subject),
    ...(subject.release === undefined
      ? []
      : [
          `The context has ${subject.config?.max_position_embeddings ?? 2048} tokens; the model was not trained beyond them.`,
          'A base model: it completes text, mostly English, and repeats what the web is full of, prejudice and errors included.',
        ]),
    ...new Set(subject.records.flatMap(({ notes }) => notes.map(plain))),
  ]
  if (points.length === 0) return ''
  return `## Known limits\n\n${points.map((point) => `- ${point}`).join('\n')}`
}

function tokenizerLimits({ mergesSpaces, artifacts }: Subject): string[] {
  if (mergesSpaces !== true) return []
  const inGguf = artifacts.some(({ format }) => format === 'gguf')
  return [
    'Its tokenizer merges runs of spaces into one and drops those at both ends of a text, as in training: indentation never reaches the model, which makes it a poor choice for source code.',
    ...(inGguf
      ? [
          'llama.cpp cannot merge spaces, and nothing in a GGUF can make it: texts with two spaces in a row, or with spaces at their ends, get other tokens there than in training. Merge them yourself before the text goes to llama.cpp.',
        ]
      : []),
  ]
}

/** Tensors that could not have their quantised type. */
function fallbackLimits({ records, artifacts, config }: Subject): string[] {
  const recorded = records.flatMap(({ quantisation, target }) => {
    const fallbacks = quantisation?.fallbacks ?? []
    const [file] = target.files
    if (fallbacks.length === 0 || file === undefined) return []
    return [`${code(file.name)}: ${kinds(fallbacks).join('; ')}.`]
  })
  const size = config?.hidden_size
  // Of files without a record the geometry alone tells that there must be some.
  const inGguf = artifacts.some(
    ({ format, checkpoint }) =>
      format === 'gguf' &&
      [...(checkpoint?.tensors.values() ?? [])].some(({ dtype }) => isBlock(dtype)),
  )
  const general =
    size !== undefined && size % superBlock !== 0 && inGguf
      ? [
          `Rows of ${size} weights do not fill k-quants' blocks of ${superBlock} (${size} = ${Math.floor(size / superBlock)} × ${superBlock} + ${size % superBlock}): tensors with such rows have a wider type, and the file is larger than its type's name promises.`,
        ]
      : []
  return [...general, ...recorded]
}

/** Weights of a k-quant that share their scales. */
const superBlock = 256

function kinds(fallbacks: readonly Fallback[]): string[] {
  const groups = new Map<string, { first: Fallback; count: number }>()
  for (const fallback of fallbacks) {
    const key = JSON.stringify([fallback.wanted, fallback.got, fallback.reason])
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { first: fallback, count: 1 })
    else group.count++
  }
  return [...groups.values()].map(
    ({ first: { tensor, wanted, got, reason }, count }) =>
      `${count === 1 ? code(tensor) : `${count} tensors`} in ${plain(got)} for ${plain(wanted)}, since ${plain(reason)}`,
  )
}

function valueLimits({ records }: Subject): string[] {
  return records.flatMap(({ values }) => {
    const [first] = values
    if (first === undefined) return []
    const more = values.length > 1 ? ` and ${values.length - 1} more tensors` : ''
    return [
      `Values that a type cannot hold were met in ${code(first.tensor)} (${plain(first.counts)})${more}; \`openllama.json\` lists them.`,
    ]
  })
}
