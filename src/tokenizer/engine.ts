import { inputError, OpenLlamaError } from '../io/errors.js'
import { parseJson } from '../io/json.js'
import { checkMerges } from './bpe-merges.js'
import { type SentencePieceModel, writeSentencePiece } from './sentencepiece.js'

/** Something that turns text into ids and back, to be held against others. */
export interface TokenizerEngine {
  /** What to call it in a report. */
  readonly name: string
  /** Ids of a text, without BOS and EOS. */
  encode(text: string): number[]
  /** Text of ids, special tokens shown as the engine shows them. */
  decode(ids: readonly number[]): string
}

/** The real SentencePiece (C++ compiled to WebAssembly). */
export async function sentencePieceEngine(model: SentencePieceModel): Promise<TokenizerEngine> {
  // Loaded when asked for: the module is 4 MB.
  const { SentencePieceProcessor } = await import('@sctg/sentencepiece-js')
  const processor = new SentencePieceProcessor()
  const base64 = Buffer.from(writeSentencePiece(model)).toString('base64')
  await processor.loadFromB64StringModel(base64)
  const decode = (ids: readonly number[]) => String(processor.decodeIds(Int32Array.from(ids)))
  return {
    name: 'sentencepiece',
    encode: (text) => processor.encodeIds(text),
    decode(ids) {
      const text = decode(ids)
      const head = markAt(model, ids)
      if (head === undefined || text.startsWith(mark)) return text
      return decode(ids.slice(0, head)).startsWith(mark) ? mark + text : text
    },
  }
}

/** U+FEFF, the byte order mark. */
const mark = '\ufeff'

/**
 * The WebAssembly build takes a U+FEFF that begins a text for a byte order mark and
 * drops it, if the text has more than 16 bytes. Shorter ones show whether one was there.
 * @returns how many ids there are up to the end of the first character, if it may be one
 */
function markAt({ pieces }: SentencePieceModel, ids: readonly number[]): number | undefined {
  const isSpace = (id: number) => /^▁+$/.test(pieces[id]?.text ?? '')
  const first = ids.findIndex((id) => !isSpace(id))
  const text = pieces[ids[first] ?? -1]?.text ?? ''
  if (text === '<0xEF>') return first + 3
  return /^▁?\ufeff/.test(text) ? first + 1 : undefined
}

/**
 * `tokenizer.json` in Hugging Face's tokenizers for JavaScript.
 * @param text the file's text
 * @param path what to call it in an error
 */
export async function tokenizerJsonEngine(
  text: string,
  path = 'tokenizer.json',
  name = 'tokenizer.json',
): Promise<TokenizerEngine> {
  // Its own types do not resolve under NodeNext.
  // oxlint-disable-next-line typescript/no-unsafe-assignment
  const { Tokenizer } = await import('@huggingface/tokenizers')
  const failed = (cause: unknown) =>
    inputError('it cannot be loaded as a tokenizer', {
      format: 'tokenizer.json',
      path,
      cause,
      suggestions: ['Write it anew with `openllama tokenizer convert`.'],
    })
  let tokenizer: JsonTokenizerPackage
  try {
    const json: unknown = parseJson(text)
    if (typeof json !== 'object' || json === null) throw new Error('it is no JSON object')
    checkMerges(json, path)
    // oxlint-disable-next-line typescript/no-unsafe-assignment, typescript/no-unsafe-call
    tokenizer = new Tokenizer(json, { clean_up_tokenization_spaces: false })
  } catch (cause) {
    if (cause instanceof OpenLlamaError) throw cause
    throw failed(cause)
  }
  keepByteOrderMarks(tokenizer.decoder)
  // What it does not look at when it loads (a malformed step) fails when it is used.
  const attempt = <T>(run: () => T): T => {
    try {
      return run()
    } catch (cause) {
      throw failed(cause)
    }
  }
  return {
    name,
    encode: (line) => attempt(() => tokenizer.encode(line, { add_special_tokens: false }).ids),
    // It refuses an empty list.
    decode: (ids) =>
      attempt(() =>
        ids.length === 0 ? '' : tokenizer.decode([...ids], { skip_special_tokens: false }),
      ),
  }
}

/** What is used of the package's Tokenizer. */
interface JsonTokenizerPackage {
  readonly decoder: unknown
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] }
  decode(ids: number[], options: { skip_special_tokens: boolean }): string
}

/**
 * tokenizers.js 0.2.0 loses a U+FEFF that begins a run of byte pieces: its
 * TextDecoder takes it for a byte order mark. The file is not at fault.
 */
function keepByteOrderMarks(decoder: unknown): void {
  // Its decoders are functions with fields.
  if (typeof decoder !== 'function' && typeof decoder !== 'object') return
  if (decoder === null) return
  if ('decoders' in decoder && Array.isArray(decoder.decoders)) {
    for (const step of decoder.decoders) keepByteOrderMarks(step)
  }
  if ('text_decoder' in decoder && decoder.text_decoder instanceof TextDecoder) {
    decoder.text_decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  }
}
