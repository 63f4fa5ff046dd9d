import { basename, join, resolve } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { configFromHf, defaultsOf, type ModelConfig } from '../checkpoint/config.js'
import { metadataLookup } from '../checkpoint/metadata.js'
import { formatNamed, traitsOf } from '../formats/index.js'
import { usageError } from '../io/errors.js'
import { readJsonObject } from '../io/json.js'
import { summarizeTokenizer, type TokenizerSummary } from '../tokenizer/summary.js'
import type { Survey } from './artifacts.js'
import { oneLine, plain } from './markdown.js'
import type { CardRecord } from './records.js'
import { differenceFrom, type Release, releaseNamed, releaseOfName } from './releases.js'
import { licenses } from './validate.js'

/** What a card is about. */
export interface Subject extends Survey {
  title: string
  /** The OpenLLaMA release that these are the weights of, where that is known. */
  release: Release | undefined
  /** The repository that the card is for. */
  repo: string | undefined
  config: ModelConfig | undefined
  parameters: number | undefined
  tokenizer: TokenizerSummary | undefined
  /** What the tokenizer does with runs of spaces; undefined where nothing says it. */
  mergesSpaces: boolean | undefined
  /** The tokenizer.json beside the weights is one that was held against SentencePiece. */
  tokenizerIsChecked: boolean
  records: CardRecord[]
  /** What the user says of the license, or else the files. */
  license: License | undefined
  /** The repository that the weights were converted from, where all are from one. */
  source: string | undefined
  /** There is nothing but weights of few bits. */
  isQuantized: boolean
  warnings: string[]
}

export interface SubjectOptions {
  /** The release, as the user names it (--model). */
  model?: string | undefined
  repo?: string | undefined
  /** The license, as the Hub calls it (--license). */
  license?: string | undefined
}

/** A license by the Hub's name for it; `other` has a name and an address of its own. */
interface License {
  id: string
  /** By the user. */
  isGiven: boolean
  name?: string
  link?: string
}

/** Resolves what the files of a directory are, from them and from what the user says. */
export async function subjectOf(found: Survey, options: SubjectOptions): Promise<Subject> {
  const { artifacts, folder, others } = found
  const checkpoints = artifacts.flatMap(({ checkpoint }) => checkpoint ?? [])
  const config = checkpoints[0]?.config ?? (await configBeside(found))
  const warnings = [...found.skipped]
  const geometries = checkpoints.map((each) => each.config)
  const release = resolveRelease(
    found,
    options,
    geometries.length === 0 && config !== undefined ? [config] : geometries,
  )
  // A folder's tokenizer files say more than a GGUF's vocabulary.
  const telling = checkpoints.find(({ format }) => !isWithin(format)) ?? checkpoints[0]
  const { summary, notes } = telling ? await summarizeTokenizer(telling) : { notes: [] }
  warnings.push(...notes)
  const records = [
    ...new Map(artifacts.flatMap(({ record }) => (record ? [[record.path, record]] : []))).values(),
  ]
  const mergesSpaces =
    (telling && isWithin(telling.format) ? undefined : summary?.whitespace?.merged) ??
    records.find((record) => record.mergesSpaces !== undefined)?.mergesSpaces ??
    (release && release.tokenizer === 'v1')
  return {
    ...found,
    title: titleOf(found, options, release),
    release,
    repo: options.repo,
    config,
    parameters: artifacts.find(({ parameters }) => parameters !== undefined)?.parameters,
    tokenizer: summary,
    mergesSpaces,
    tokenizerIsChecked:
      others.some(({ name }) => name === 'tokenizer.json') &&
      records.some(
        ({ target, keepsTokenizer, mergesSpaces }) =>
          !keepsTokenizer &&
          mergesSpaces !== undefined &&
          target.files.some(({ name }) => name === 'tokenizer.json'),
      ),
    records,
    license: options.license === undefined ? licenseOf(checkpoints) : given(options.license),
    source: sourceOf(records, options.repo),
    isQuantized: artifacts.every(({ quantized }) => quantized),
    warnings: [...warnings, ...changed(found, records, folder)],
  }
}

function given(id: string): License {
  if (licenses.has(id)) return { id, isGiven: true }
  throw usageError(`\`license\` is "${id}", which is no license that the Hub knows`, {
    suggestions: [
      'Give a name such as apache-2.0 or mit (huggingface.co/docs/hub/repositories-licenses), or other, and say which in the front matter: license_name and license_link.',
    ],
  })
}

/** The license in a GGUF's metadata, which a conversion takes over from the source's card. */
function licenseOf(checkpoints: readonly Checkpoint[]): License | undefined {
  for (const { metadata } of checkpoints) {
    const { text } = metadataLookup(metadata ?? [])
    const id = text('general.license')?.toLowerCase()
    if (id === undefined || !licenses.has(id)) continue
    const [name, link] = [text('general.license.name'), text('general.license.link')]
    return {
      id,
      isGiven: false,
      ...(name ? { name: oneLine(name) } : {}),
      // An address of the web, or a file of the repository: nothing that a browser would run.
      ...(link && /^(?:https?:\/\/[^\s]+|[\w./-]+)$/i.test(link) ? { link: oneLine(link) } : {}),
    }
  }
  return undefined
}

function sourceOf(records: readonly CardRecord[], repo: string | undefined): string | undefined {
  const [first, ...others] = new Set(records.map(({ source }) => source.repository))
  // A record may be anybody's: only what is a repository's name gets into the front matter.
  const isName = first !== undefined && /^[\w.-]+\/[\w.-]+$/.test(first)
  return others.length === 0 && isName && first !== repo ? first : undefined
}

/** A config.json has some kilobytes. */
const maxConfig = 4 * 1024 * 1024

/** The geometry of weights that no reader takes, such as quantized graphs. */
async function configBeside({ folder, others }: Survey): Promise<ModelConfig | undefined> {
  if (!others.some(({ name }) => name === 'config.json')) return undefined
  const path = join(folder, 'config.json')
  const config = configFromHf(await readJsonObject(path, maxConfig), path)
  const { vocab_size, hidden_size, intermediate_size, num_hidden_layers } = config
  const { num_attention_heads: heads, num_key_value_heads = heads } = config
  if (
    vocab_size === undefined ||
    hidden_size === undefined ||
    intermediate_size === undefined ||
    num_hidden_layers === undefined ||
    heads === undefined ||
    num_key_value_heads === undefined
  ) {
    return undefined
  }
  return {
    ...defaultsOf(config.model_type),
    head_dim: hidden_size / heads,
    ...config,
    ...{ vocab_size, hidden_size, intermediate_size, num_hidden_layers },
    num_attention_heads: heads,
    num_key_value_heads,
  }
}

/**
 * The release that the weights are of. A name is only a hint: the geometry must be the release's
 * too, for its license, its text and its evaluation are published with it.
 * @param geometries of all weights that tell theirs
 * @throws usage error for a release that the user names and the weights are not of
 */
function resolveRelease(
  { artifacts, folder }: Survey,
  { model, repo }: SubjectOptions,
  geometries: readonly ModelConfig[],
): Release | undefined {
  const difference = (release: Release) => {
    for (const each of geometries) {
      const found = differenceFrom(release, each)
      if (found !== undefined) return found
    }
    return undefined
  }
  if (model !== undefined) {
    const release = releaseNamed(model)
    const found = difference(release)
    if (found === undefined && geometries.length > 0) return release
    throw usageError(
      `\`model\` is ${model}, ${found === undefined ? 'and nothing tells the geometry of the weights' : `but the weights are of another model: ${found}`}`,
      {
        path: folder,
        suggestions:
          found === undefined
            ? ['Put the config.json beside them.']
            : [
                'Leave `model` out: the card of another model than a release says what its files are.',
              ],
      },
    )
  }
  if (geometries.length === 0) return undefined
  const names = [
    ...(repo === undefined ? [] : [repo]),
    basename(resolve(folder)),
    ...artifacts
      .filter(({ format }) => traitsOf(format).metadata)
      .flatMap(({ files }) => files.map(({ name }) => name)),
  ]
  for (const name of names) {
    const release = releaseOfName(name)
    if (release && difference(release) === undefined) return release
  }
  return undefined
}

/** Whether a tokenizer is a vocabulary in the file, which says less than the files of one. */
function isWithin(format: string): boolean {
  return traitsOf(format).tokenizer === 'within'
}

function titleOf(
  { artifacts, folder }: Survey,
  { repo }: SubjectOptions,
  release: Release | undefined,
): string {
  if (repo !== undefined) return repo.split('/').at(-1) ?? repo
  if (release !== undefined) {
    const formats = new Set(artifacts.map(({ format }) => traitsOf(format).short))
    return `${release.title} (${[...formats].join(', ')})`
  }
  const metadata = artifacts.find(({ checkpoint }) => checkpoint?.metadata)?.checkpoint?.metadata
  return (
    oneLine(metadataLookup(metadata ?? []).text('general.name') ?? basename(resolve(folder))) ||
    'Model'
  )
}

/** Files whose sizes are not those of their record: somebody changed them afterwards. */
function changed(
  { artifacts, others }: Survey,
  records: readonly CardRecord[],
  folder: string,
): string[] {
  const present = new Map(
    [...artifacts.flatMap(({ files }) => files), ...others].map(({ name, bytes }) => [name, bytes]),
  )
  return records.flatMap(({ target, path }) =>
    target.files.flatMap(({ name, bytes }) => {
      const there = present.get(name)
      if (there === undefined || there === bytes) return []
      return [
        `${name} in ${oneLine(folder)} has ${there} bytes, ${basename(path)} says ${bytes}: it was changed since`,
      ]
    }),
  )
}

/** The format that a record names, as people call it. */
export function shownFormat(name: string): string {
  return plain(formatNamed(name)?.traits.short ?? name)
}
