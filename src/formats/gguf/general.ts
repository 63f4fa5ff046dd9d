import type { MetadataEntry } from '../../checkpoint/metadata.js'
import { type FrontMatter, fieldList } from '../../io/front-matter.js'
import type { About } from '../about.js'
import { namePartsOf, sizeLabel, titleOf } from './model-name.js'

/**
 * What a GGUF file says of its model's name and origin (`general.*`), from the
 * card, the configurations and the folder, as llama.cpp's converter takes it
 * from them and in its order.
 * @param name the user's (--name), before all others
 * @param parameters of all tensors together
 */
export function generalEntries(
  about: About,
  name: string | undefined,
  parameters: number,
): MetadataEntry[] {
  const { card } = about
  // A path of some machine is no model's name.
  const hub =
    about.nameOrPath !== undefined && about.nameOrPath.split('/').length <= 2
      ? namePartsOf(about.nameOrPath, parameters)
      : {}
  const folder = namePartsOf(about.folder, parameters)
  const title = (text: string | undefined) => (text === undefined ? undefined : titleOf(text))
  return [
    ...samplingEntries(about),
    ...texts([
      ['name', name ?? nameOnCard(about) ?? title(hub.name) ?? title(folder.name) ?? about.folder],
      ['author', of(card, 'author', 'model_author', 'model_creator')],
      ['version', of(card, 'version', 'model_version') ?? hub.version ?? folder.version],
      [
        'organization',
        of(card, 'organization', 'model_organization') ??
          title(hub.organization) ??
          title(folder.organization),
      ],
      ['finetune', of(card, 'finetune', 'model_finetune') ?? hub.finetune ?? folder.finetune],
      [
        'basename',
        of(card, 'basename', 'model_basename', 'model_type') ?? hub.basename ?? folder.basename,
      ],
      ['description', of(card, 'description', 'model_description')],
      [
        'size_label',
        of(card, 'size_label', 'model_size_label') ??
          hub.sizeLabel ??
          folder.sizeLabel ??
          sizeLabel(parameters),
      ],
      ['license', fieldList(card.get('license')).join(',')],
      ['license.name', of(card, 'license_name')],
      ['license.link', of(card, 'license_link')],
      ['source.url', of(card, 'url', 'model_url')],
      ['source.doi', of(card, 'doi', 'model_doi')],
      ['source.uuid', of(card, 'uuid', 'model_uuid')],
      ['source.repo_url', of(card, 'repo_url', 'model_repo_url')],
    ]),
    ...originEntries('base_model', first(card, 'base_model', 'base_models', 'base_model_sources')),
    ...originEntries('dataset', first(card, 'datasets', 'dataset', 'dataset_sources')),
    ...list('tags', [...fieldList(card.get('tags')), ...fieldList(card.get('pipeline_tag'))]),
    ...list('languages', [...fieldList(card.get('languages')), ...fieldList(card.get('language'))]),
  ]
}

export function nameOnCard({ card }: About): string | undefined {
  return of(card, 'name', 'model_name')
}

/** Sampling that the model's authors recommend. */
function samplingEntries({ generation }: About): MetadataEntry[] {
  return samplingFields.flatMap(([field, name, type]) => {
    const value = generation[field]
    if (typeof value !== 'number' || (type === 'int32' && !Number.isInteger(value))) return []
    return [{ key: `general.sampling.${name}`, type, value }]
  })
}

const samplingFields = [
  ['top_k', 'top_k', 'int32'],
  ['top_p', 'top_p', 'float32'],
  ['min_p', 'min_p', 'float32'],
  ['xtc_probability', 'xtc_probability', 'float32'],
  ['xtc_threshold', 'xtc_threshold', 'float32'],
  ['temperature', 'temp', 'float32'],
  ['penalty_last_n', 'penalty_last_n', 'int32'],
  ['penalty_repeat', 'penalty_repeat', 'float32'],
  ['mirostat', 'mirostat', 'int32'],
  ['mirostat_tau', 'mirostat_tau', 'float32'],
  ['mirostat_eta', 'mirostat_eta', 'float32'],
] as const

/** Models or data that this one was made from: Hub names, or addresses. */
function originEntries(
  kind: 'base_model' | 'dataset',
  ids: readonly string[] | undefined,
): MetadataEntry[] {
  if (ids === undefined) return []
  const entries = ids.flatMap((id, i) => {
    const isAddress = /^(https?|ssh):\/\//.test(id)
    const hubId = isAddress ? /^https?:\/\/huggingface\.co\/([^/]+\/[^/]+)$/.exec(id)?.[1] : id
    const parts = hubId === undefined ? {} : namePartsOf(hubId, 0)
    const { name, organization, version } = parts
    const address = isAddress
      ? id
      : organization === undefined
        ? undefined
        : `https://huggingface.co/${organization}/${name}`
    return texts([
      [`${kind}.${i}.name`, name === undefined ? undefined : titleOf(name)],
      [`${kind}.${i}.version`, version],
      [`${kind}.${i}.organization`, organization === undefined ? undefined : titleOf(organization)],
      [`${kind}.${i}.repo_url`, address],
    ])
  })
  return [{ key: `general.${kind}.count`, type: 'uint32', value: ids.length }, ...entries]
}

function texts(fields: readonly (readonly [string, string | undefined])[]): MetadataEntry[] {
  return fields.flatMap(([name, value]) =>
    value === undefined || value === '' ? [] : [{ key: `general.${name}`, type: 'string', value }],
  )
}

function list(name: string, value: readonly string[]): MetadataEntry[] {
  return value.length === 0 ? [] : [{ key: `general.${name}`, type: 'string[]', value }]
}

/** The first of several fields that is a text. */
function of(card: FrontMatter, ...fields: readonly string[]): string | undefined {
  for (const field of fields) {
    const value = card.get(field)
    if (typeof value === 'string') return value
  }
  return undefined
}

/** The first of several fields that is there, as a list. */
function first(card: FrontMatter, ...fields: readonly string[]): readonly string[] | undefined {
  const field = fields.find((name) => card.has(name))
  return field === undefined ? undefined : fieldList(card.get(field))
}
