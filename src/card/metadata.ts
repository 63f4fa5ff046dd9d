import type { Json, JsonObject } from '../io/json.js'
import type { Change } from './front-matter.js'
import { oneLine } from './markdown.js'
import type { Comparison } from './results.js'
import { modelIndex } from './results-data.js'
import type { Subject } from './subject.js'

/**
 * The keys of the front matter that are ours, in the order of a new card. What
 * follows from the files is set; what is known of the model is filled in where the
 * card says nothing; lists get what they lack.
 * @param there the card's present front matter
 */
export function frontMatterChanges(
  subject: Subject,
  results: Comparison | undefined,
  there: JsonObject,
): Change[] {
  const { release, repo, isQuantised } = subject
  const changes: Change[] = []
  if (release !== undefined) {
    changes.push({ key: 'license', fill: 'apache-2.0' }, { key: 'language', fill: ['en'] })
  }
  changes.push({ key: 'library_name', set: libraryOf(subject) })
  changes.push({ key: 'pipeline_tag', fill: 'text-generation' })
  const base = baseOf(there.base_model)
  const isOriginal = release !== undefined && repo?.toLowerCase() === release.repository
  if (release !== undefined && base === undefined && !isOriginal) {
    changes.push({ key: 'base_model', fill: release.repository })
  }
  if (isQuantised && (base !== undefined || (release !== undefined && !isOriginal))) {
    changes.push({ key: 'base_model_relation', set: 'quantized' })
  } else {
    // A conversion to floats may have taken the place of a quantised one.
    changes.push({ key: 'base_model_relation', dropIf: 'quantized' })
  }
  if (release !== undefined) changes.push({ key: 'datasets', add: release.datasets })
  changes.push({ key: 'tags', add: tagsOf(subject) })
  if (results !== undefined) {
    const index = modelIndex(results, nameOf(subject), there['model-index'])
    changes.push({ key: 'model-index', set: index })
  }
  return changes
}

/** What a model-index calls the model. */
export function nameOf({ repo, release, title }: Subject): string {
  return oneLine(repo?.split('/').at(-1) ?? release?.id ?? title)
}

function baseOf(json: Json | undefined): Json | undefined {
  const isEmpty = json === undefined || json === null || json === ''
  return isEmpty || (Array.isArray(json) && json.length === 0) ? undefined : json
}

/** The Hub's name of the library that loads the files: of the first that there are. */
function libraryOf({ artifacts }: Subject): string {
  const library = libraries.find(([format]) => artifacts.some((each) => each.format === format))
  return library?.[1] ?? 'transformers'
}

const libraries = [
  ['safetensors', 'transformers'],
  ['pytorch', 'transformers'],
  ['gguf', 'gguf'],
  ['onnx', 'transformers.js'],
  ['easylm', 'easylm'],
  ['flax', 'flax'],
  ['meta', 'pytorch'],
] as const

function tagsOf({ artifacts, release }: Subject): string[] {
  const formats = new Set(artifacts.map(({ format }) => format))
  return [
    'llama',
    ...(release === undefined ? [] : ['openllama']),
    ...(formats.has('gguf') ? ['gguf', 'llama.cpp'] : []),
    ...(formats.has('onnx') ? ['onnx', 'transformers.js'] : []),
    ...(formats.has('easylm') || formats.has('flax') ? ['easylm', 'jax'] : []),
    ...(formats.has('pytorch') || formats.has('meta') ? ['pytorch'] : []),
    ...(formats.has('safetensors') ? ['safetensors'] : []),
  ]
}
