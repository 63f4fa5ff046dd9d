import { isJsonObject, type Json, type JsonObject } from '../../io/json.js'
import { oneLine } from '../markdown.js'

/** Which weights and which tokenizer a run tested, as its file says. */
export interface TestedModel {
  /** The repository, or the last two folders of a local path. */
  name: string
  revision: string | undefined
  dtype: string | undefined
  /** `slow`, `fast`, or undefined where the file says neither. */
  tokenizerKind: 'slow' | 'fast' | undefined
  /** Another tokenizer than the model's own. */
  tokenizer: string | undefined
  /** What else decides what was tested: quantization at loading, an adapter. */
  others: string[]
}

/**
 * The arguments by which the harness found the model. Only those that are known
 * are taken: others may be tokens or addresses that are nobody's business.
 * @param file what the model is called where nothing names it
 */
export function modelArguments(config: JsonObject, json: JsonObject, file: string): TestedModel {
  const args = argumentsOf(config.model_args)
  const name = args.get('pretrained') ?? args.get('model') ?? textOf(json.model_name)
  const fast = args.get('use_fast_tokenizer') ?? args.get('use_fast')
  const tokenizer = args.get('tokenizer')
  const revision = args.get('revision') ?? textOf(config.model_revision)
  const commit = textOf(config.model_sha)
  return {
    name: name === undefined ? file.replace(/\.json$/, '') : publicName(name),
    revision: commit?.slice(0, 12) ?? (revision === 'main' ? undefined : revision),
    dtype: (args.get('dtype') ?? textOf(config.model_dtype))?.replace(/^torch\./, ''),
    tokenizerKind: fast === undefined ? undefined : /^true$/i.test(fast) ? 'fast' : 'slow',
    tokenizer: tokenizer === undefined ? undefined : publicName(tokenizer),
    others: ['load_in_8bit', 'load_in_4bit', 'gguf_file', 'peft', 'delta'].flatMap((key) => {
      const value = args.get(key)
      if (value === undefined || /^(?:false|none)$/i.test(value)) return []
      return [/^true$/i.test(value) ? key : `${key} ${publicName(value)}`]
    }),
  }
}

/** A text that is the same for two runs of the same weights with the same tokenizer. */
export function testedIdentity(model: TestedModel): string {
  return JSON.stringify([
    model.name,
    model.revision,
    model.dtype,
    model.tokenizerKind,
    model.tokenizer,
    model.others,
  ])
}

/** What was tested, as a phrase. */
export function describeTested(model: TestedModel): string {
  const { name, revision, dtype, others } = model
  const weights = [name, revision && `revision ${revision}`, dtype, ...others]
  return `${weights.filter((part) => part).join(', ')}; ${describeTokenizer(model)}`
}

export function describeTokenizer({ tokenizer, tokenizerKind }: TestedModel): string {
  const kind = tokenizerKind === undefined ? '' : `${tokenizerKind} `
  const whose =
    tokenizer === undefined ? `its own ${kind}tokenizer` : `the ${kind}tokenizer of ${tokenizer}`
  return kind === '' ? `${whose} (slow or fast not recorded)` : whose
}

/** `a=b,c=d`, or since 0.4.9 an object. */
function argumentsOf(json: Json | undefined): Map<string, string> {
  const pairs: [string, string][] = isJsonObject(json)
    ? Object.entries(json).flatMap(([key, value]) =>
        value === null || typeof value === 'object' ? [] : [[key, String(value)]],
      )
    : (textOf(json) ?? '').split(',').map((pair) => {
        const [key = '', ...value] = pair.split('=')
        return [key.trim(), value.join('=').trim()]
      })
  return new Map(pairs.filter(([, value]) => value !== ''))
}

/** A repository as it is; of a path on some machine the last two folders. */
function publicName(name: string): string {
  const parts = name.split(/[/\\]+/).filter((part) => part !== '' && part !== '.')
  const isPath = /^[/\\.~]|^[A-Za-z]:|:\/\//.test(name) || parts.length > 2
  return oneLine(isPath ? parts.slice(-2).join('/') : name)
}

function textOf(json: Json | undefined): string | undefined {
  return typeof json === 'string' && json.trim() !== '' ? oneLine(json, 10_000) : undefined
}
