import type { Checkpoint } from '../../checkpoint/checkpoint.js'
import { metadataLookup } from '../../checkpoint/metadata.js'
import { traitsOf } from '../../formats/index.js'
import { code, plain } from '../markdown.js'
import type { Fallback } from '../records.js'
import type { Subject } from '../subject.js'

/** What somebody who uses the model should know; empty where there is nothing. */
export function limitsSection(subject: Subject): string {
  const points = [
    ...tokenizerLimits(subject),
    ...fallbackLimits(subject),
    ...valueLimits(subject),
    ...(subject.release === undefined
      ? []
      : [
          `The model was trained with a context of ${subject.config?.max_position_embeddings ?? 2048} tokens and is of no use beyond it.`,
          'It was trained on text from the web, most of it English, and repeats the prejudice and the errors in it.',
        ]),
    ...new Set(subject.records.flatMap(({ notes }) => notes.filter(isNews).map(plain))),
  ]
  if (points.length === 0) return ''
  return `## Known limits\n\n${points.map((point) => `- ${point}`).join('\n')}`
}

/** A conversion also notes what is told here from the files: spaces, and types that do not fit. */
function isNews(note: string): boolean {
  return !/^llama\.cpp does not merge spaces|cannot have their type of/.test(note)
}

function tokenizerLimits({ mergesSpaces, artifacts }: Subject): string[] {
  if (mergesSpaces !== true) return []
  const inGguf = artifacts.some(({ format }) => traitsOf(format).engine === 'llama.cpp')
  return [
    'The tokenizer merges runs of spaces into one and drops spaces at both ends of a text, as it did in training. The model never sees indentation, which makes it a poor choice for source code.',
    ...(inGguf
      ? [
          'llama.cpp does not merge spaces, and nothing in a GGUF file can make it do so: a text with two spaces in a row, or with spaces at its ends, gets other tokens there than in training. Merge and strip spaces before you pass a text to llama.cpp.',
        ]
      : []),
  ]
}

/** Tensors that could not have their quantized type. */
function fallbackLimits({ records, artifacts, config }: Subject): string[] {
  const recorded = records.flatMap(({ quantization, target }) => {
    const fallbacks = quantization?.fallbacks ?? []
    const [file] = target.files
    if (fallbacks.length === 0 || file === undefined) return []
    return [
      `${code(file.name)} is larger than its type's name promises, because some tensors have a wider type: ${kinds(fallbacks).join('; ')}.`,
    ]
  })
  if (recorded.length > 0) return recorded
  const size = config?.hidden_size
  // Of files without a record the geometry alone tells that there must be some.
  const hasKQuants = artifacts.some(({ checkpoint }) => checkpoint && isKQuant(checkpoint))
  return size !== undefined && size % superBlock !== 0 && hasKQuants
    ? [
        `Rows of ${size} weights cannot be divided into the blocks of ${superBlock} that k-quants have: tensors with such rows have a wider type, and the file is larger than its type's name promises.`,
      ]
    : []
}

/** Whether a file was made in a k-quant: it says so itself, or a tensor that could be is of one. */
function isKQuant({ metadata, tensors }: Checkpoint): boolean {
  const type = metadataLookup(metadata ?? []).integer('general.file_type')
  // llama.h, llama_ftype: MOSTLY_Q2_K (10) to MOSTLY_Q6_K (18), and MOSTLY_Q2_K_S.
  if (type !== undefined && ((type >= 10 && type <= 18) || type === 21)) return true
  return [...tensors.values()].some(({ dtype }) => /^q\d_k$/.test(dtype))
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
      `${plain(got)} instead of ${plain(wanted)} for ${count === 1 ? code(tensor) : `${count} tensors`} (${plain(reason)})`,
  )
}

function valueLimits({ records }: Subject): string[] {
  return records.flatMap(({ values }) => {
    const [first] = values
    if (first === undefined) return []
    const more = values.length === 1 ? '' : `, and so have ${values.length - 1} more tensors`
    return [
      `${code(first.tensor)} has values that its type cannot hold (${plain(first.counts)})${more}; \`openllama.json\` lists them all.`,
    ]
  })
}
