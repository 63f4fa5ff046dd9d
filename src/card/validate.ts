import { isJsonObject, type Json, type JsonObject } from '../io/json.js'
import { readFrontMatter, splitCard } from './front-matter.js'
import { newlineOf } from './sections/sections.js'

/**
 * What the Hub would say against a card's front matter, in sentences, as far as it
 * can be known without asking it: form, and identifiers from closed lists.
 * @throws input error for YAML that is none
 */
export function cardFaults(text: string, path: string): string[] {
  return frontMatterFaults(readFrontMatter(splitCard(text, newlineOf(text)).yaml, path))
}

export function frontMatterFaults(keys: JsonObject): string[] {
  return [
    ...licenseFaults(keys),
    ...textsFaults(keys, 'language', (code) =>
      /^(?:[a-z]{2,3}(?:-[a-z0-9]+)*|code|multilingual)$/.test(code)
        ? undefined
        : 'is no code of a language in lower case, such as en',
    ),
    ...textsFaults(keys, 'tags', () => undefined),
    ...textsFaults(keys, 'datasets', repository),
    ...textsFaults(keys, 'base_model', repository),
    ...relationFaults(keys),
    ...['library_name', 'pipeline_tag'].flatMap((key) =>
      keys[key] === undefined || isName(keys[key]) ? [] : [`${key} is no text`],
    ),
    ...modelIndexFaults(keys['model-index']),
  ]
}

function licenseFaults(keys: JsonObject): string[] {
  const { license } = keys
  if (license === undefined || license === null) {
    return [
      'there is no license, without which nobody may use the model: `openllama card --license ID` adds it to the front matter',
    ]
  }
  const faults = textsFaults(keys, 'license', (id) =>
    licenses.has(id) ? undefined : 'is none that the Hub knows: write other, with license_name',
  )
  const isOther = license === 'other'
  return isOther && !isName(keys.license_name)
    ? [...faults, 'license is other: license_name is to say which']
    : faults
}

function relationFaults({ base_model, base_model_relation: relation }: JsonObject): string[] {
  if (relation === undefined || relation === null) return []
  // docs/hub/model-cards.md, "Specifying a base model".
  const known = ['adapter', 'merge', 'quantized', 'finetune']
  if (typeof relation !== 'string' || !known.includes(relation)) {
    return [`base_model_relation is none of ${known.join(', ')}`]
  }
  return base_model === undefined ? ['base_model_relation is there without base_model'] : []
}

/** A text or a list of texts. */
function textsFaults(
  keys: JsonObject,
  key: string,
  wrong: (text: string) => string | undefined,
): string[] {
  const value = keys[key]
  if (value === undefined || value === null) return []
  return [value].flat().flatMap((each) => {
    if (typeof each !== 'string' || each === '') return [`${key} has a value that is no text`]
    const fault = wrong(each)
    return fault === undefined ? [] : [`${key} ${JSON.stringify(each)} ${fault}`]
  })
}

function repository(id: string): string | undefined {
  const isRepository = /^(?:[\w][\w.-]{0,95}\/)?[\w][\w.-]{0,95}$/.test(id) && !/--|\.\./.test(id)
  return isRepository ? undefined : 'is no name of a repository'
}

function modelIndexFaults(index: Json | undefined): string[] {
  if (index === undefined || index === null) return []
  if (!Array.isArray(index)) return ['model-index is no list']
  return index.flatMap((model, i) => {
    const at = `model-index[${i}]`
    if (!isJsonObject(model) || !isName(model.name)) return [`${at} has no name`]
    if (!Array.isArray(model.results)) return [`${at} has no list of results`]
    return model.results.flatMap((result, j) => resultFaults(result, `${at}.results[${j}]`))
  })
}

function resultFaults(result: Json, at: string): string[] {
  const needed = (path: string, value: Json | undefined) =>
    isName(value) ? [] : [`${at}.${path} is missing`]
  if (!isJsonObject(result)) return [`${at} is no object`]
  const { task, dataset, metrics } = result
  if (!Array.isArray(metrics) || metrics.length === 0) return [`${at} has no metrics`]
  return [
    ...needed('task.type', isJsonObject(task) ? task.type : undefined),
    ...needed('dataset.type', isJsonObject(dataset) ? dataset.type : undefined),
    ...needed('dataset.name', isJsonObject(dataset) ? dataset.name : undefined),
    ...metrics.flatMap((metric, i) => {
      const { type, value } = isJsonObject(metric) ? metric : {}
      const faults = needed(`metrics[${i}].type`, type)
      return value === undefined || value === null
        ? [...faults, `${at}.metrics[${i}].value is missing`]
        : faults
    }),
  ]
}

function isName(value: Json | undefined): value is string {
  return typeof value === 'string' && value !== ''
}

/** The Hub's identifiers of licenses (hub-docs, docs/hub/repositories-licenses.md, August 2026). */
export const licenses = new Set(
  `apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
  bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda
  cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0
  cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
  cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0
  etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research
  intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openmdw-1.1
  openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
  fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community
  gemma unknown other`.split(/\s+/),
)
