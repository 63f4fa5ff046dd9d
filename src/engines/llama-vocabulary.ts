import type { Llama, LlamaModel } from 'node-llama-cpp'
import { inputError, OpenLlamaError } from '../io/errors.js'
import type { Engine } from '../tokenizer/engine.js'
import { llamaCppName } from '../tokenizer/generation.js'

/** A vocabulary in llama.cpp; `close` gives its memory back. */
export interface LlamaVocabulary extends Engine {
  close(): Promise<void>
}

/**
 * The vocabulary of a GGUF in llama.cpp itself; no tensor is loaded.
 * @param path of any part, where the file is split
 * @throws input error where llama.cpp refuses the file, with what it says of it
 */
export async function llamaVocabulary(path: string): Promise<LlamaVocabulary> {
  const said: string[] = []
  const llama = await startLlama((message) => said.push(message))
  let model: LlamaModel
  try {
    model = await llama.loadModel({ modelPath: path, vocabOnly: true })
  } catch (cause) {
    await llama.dispose()
    const reason = said.map((message) => message.trim()).find((message) => message !== '')
    throw inputError(`llama.cpp cannot load its vocabulary: ${reason ?? String(cause)}`, {
      format: 'gguf',
      path,
      cause,
      suggestions: ['Write it anew with `openllama convert --to gguf`.'],
    })
  }
  return {
    name: llamaCppName,
    // Without special tokens `<s>` in a text is three characters, as in SentencePiece.
    encode: (text) => model.tokenize(text, false).map(Number),
    decode: (ids) => model.detokenize(asTokens(ids), true),
    async close() {
      await model.dispose()
      await llama.dispose()
    },
  }
}

/** Its ids are numbers with a brand. */
type Token = Parameters<LlamaModel['detokenize']>[0][number]

function asTokens(ids: readonly number[]): Token[] {
  return ids.filter((id): id is Token => Number.isInteger(id))
}

async function startLlama(onError: (message: string) => void): Promise<Llama> {
  try {
    // Loaded when asked for: it comes with libraries of some 30 MB.
    const { getLlama, LlamaLogLevel } = await import('node-llama-cpp')
    return await getLlama({
      gpu: false,
      // A compiler is none of this program's business.
      build: 'never',
      progressLogs: false,
      logLevel: LlamaLogLevel.error,
      logger: (_, message) => onError(message),
    })
  } catch (cause) {
    throw new OpenLlamaError('resources', 'llama.cpp does not start on this machine', {
      cause,
      suggestions: [
        'node-llama-cpp brings it for Linux, macOS and Windows on x64 and arm64: is its package for this platform installed?',
      ],
    })
  }
}
