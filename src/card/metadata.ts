import { defaultArchitecture } from '../architectures/index.js'
import type { Traits } from '../formats/format.js'
import { traitsOf } from '../formats/index.js'
import type { Json, JsonObject } from '../io/json.js'
import type { FieldChange } from './front-matter.js'
import { oneLine } from './markdown.js'
import { modelIndex } from './results/data.js'
import type { Comparison } from './results/results.js'
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
): FieldChange[] {
  const { release, repo, source, isQuantized } = subject
  const changes = licenseChanges(subject, there)
  if (release !== undefined) changes.push({ key: 'language', fill: ['en'] })
  changes.push({ key: 'library_name', set: libraryOf(subject) })
  changes.push({ key: 'pipeline_tag', fill: 'text-generation' })
  const base = baseOf(there.base_model)
  const isOriginal = release !== undefined && repo?.toLowerCase() === release.repository
  const known = isOriginal ? undefined : (release?.repository ?? source)
  if (known !== undefined && base === undefined) changes.push({ key: 'base_model', fill: known })
  if (isQuantized && (base ?? known) !== undefined) {
    changes.push({ key: 'base_model_relation', set: 'quantized' })
  } else {
    // A conversion to floats may have taken the place of a quantized one.
    changes.push({ key: 'base_model_relation', dropIf: 'quantized' })
  }
  if (release !== undefined) changes.push({ key: 'datasets', add: release.datasets })
  changes.push({ key: 'tags', add: tagsOf(subject) })
  if (results !== undefined) {
    const index = modelIndex(results, modelIndexName(subject), there['model-index'])
    changes.push({ key: 'model-index', set: index })
  }
  return changes
}

/** The user's word holds against the card's; that of the files or of a release is filled in. */
function licenseChanges({ release, license }: Subject, there: JsonObject): FieldChange[] {
  const { id, isGiven, name, link } = license ?? {}
  if (id === undefined) {
    return release === undefined ? [] : [{ key: 'license', fill: 'apache-2.0' }]
  }
  if (isGiven) return [{ key: 'license', set: id }]
  const isNew = there.license === undefined || there.license === null || there.license === id
  return [
    { key: 'license', fill: id },
    ...(isNew && name !== undefined ? [{ key: 'license_name', fill: name }] : []),
    ...(isNew && link !== undefined ? [{ key: 'license_link', fill: link }] : []),
  ]
}

/** What a model-index calls the model. */
export function modelIndexName({ repo, release, title }: Subject): string {
  return oneLine(repo?.split('/').at(-1) ?? release?.id ?? title)
}

function baseOf(json: Json | undefined): Json | undefined {
  const isEmpty = json === undefined || json === null || json === ''
  return isEmpty || (Array.isArray(json) && json.length === 0) ? undefined : json
}

/** The Hub's name of the library that loads the files: of the first of the formats that are there. */
function libraryOf({ artifacts }: Subject): string {
  const [first] = traitsIn(artifacts).sort((a, b) => a.rank - b.rank)
  return first?.library ?? 'transformers'
}

function tagsOf({ artifacts, release, config }: Subject): string[] {
  const traits = traitsIn(artifacts).sort((a, b) => a.tagRank - b.tagRank)
  return [
    config?.model_type ?? defaultArchitecture,
    ...(release === undefined ? [] : ['openllama']),
    ...new Set(traits.flatMap(({ tags }) => tags)),
  ]
}

/** What is to be known of the formats of artifacts. */
function traitsIn(artifacts: Subject['artifacts']): Traits[] {
  return [...new Set(artifacts.map(({ format }) => format))].map(traitsOf)
}
