import { basename, dirname } from 'node:path'
import type { TokenizerFiles } from '../checkpoint/checkpoint.js'
import { inputError } from '../io/errors.js'
import type { FileCache } from '../io/file-cache.js'
import { openFile, readStart } from '../io/source.js'
import { join, kindOf, resolvePath } from '../io/store.js'
import { isTiktoken } from '../tokenizer/tiktoken.js'

/** What transformers keeps beside a SentencePiece model, or in its place. */
const jsonNames = [
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'tokenizer.json',
]

/** Where transformers 5 keeps the chat template. */
const templateName = 'chat_template.jinja'

/**
 * The files of a checkpoint's tokenizer.
 * @param folder that the checkpoint is in
 * @param choice what the user named (--tokenizer): a tokenizer.model, a tokenizer.json,
 *   or a folder with either
 * @param cache of the source, for what is read of them
 */
export async function findTokenizer(
  folder: string,
  choice?: string,
  cache?: FileCache,
): Promise<TokenizerFiles> {
  const chosen = choice === undefined ? undefined : await resolvePath(choice)
  const isFolder = chosen === undefined || (await kindOf(chosen)) === 'folder'
  const place = chosen === undefined ? folder : isFolder ? chosen : dirname(chosen)
  const beside: string[] = []
  for (const name of jsonNames) {
    const path = join(place, name)
    if ((await kindOf(path)) === 'file') beside.push(path)
  }
  const template = join(place, templateName)
  const found = {
    beside,
    ...(cache === undefined ? {} : { cache }),
    ...((await kindOf(template)) === 'file' ? { template } : {}),
  }
  const isJson = chosen !== undefined && !isFolder && basename(chosen) === 'tokenizer.json'
  const model = isFolder ? join(place, 'tokenizer.model') : chosen
  if (!isJson && model !== undefined && (await kindOf(model)) === 'file') {
    if (!(await (cache?.within(() => isTiktokenFile(model)) ?? isTiktokenFile(model))))
      return { model, ...found }
    // A list that was named goes before a tokenizer.json beside it.
    const others = isFolder ? beside : beside.filter((path) => !isTokenizerJson(path))
    return { ...found, beside: others, tiktoken: model }
  }
  const hasJson = beside.some(isTokenizerJson)
  if (chosen !== undefined && !((isFolder || isJson) && hasJson)) {
    throw inputError('no tokenizer.model and no tokenizer.json is there', { path: chosen })
  }
  return found
}

function isTokenizerJson(path: string): boolean {
  return basename(path) === 'tokenizer.json'
}

async function isTiktokenFile(path: string): Promise<boolean> {
  const source = await openFile(path)
  try {
    return isTiktoken(await readStart(source, 512))
  } finally {
    await source.close()
  }
}
