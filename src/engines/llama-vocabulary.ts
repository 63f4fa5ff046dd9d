import type { TokenizerEngine } from '../tokenizer/engine.js'
import { llamaCppName } from '../tokenizer/generation.js'
import { asTokens, startLlama } from './llama-start.js'

/** A vocabulary in llama.cpp; `close` gives its memory back. */
export interface LlamaVocabulary extends TokenizerEngine {
  close(): Promise<void>
}

/**
 * The vocabulary of a GGUF in llama.cpp itself; no tensor is loaded.
 * @param path of any part, where the file is split
 * @throws input error where llama.cpp refuses the file, with what it says of it
 */
export async function llamaVocabulary(path: string): Promise<LlamaVocabulary> {
  const { load, dispose } = await startLlama()
  const model = await load({ modelPath: path, vocabOnly: true }, 'its vocabulary')
  return {
    name: llamaCppName,
    // Without special tokens `<s>` in a text is three characters, as in SentencePiece.
    encode: (text) => model.tokenize(text, false).map(Number),
    decode: (ids) => model.detokenize(asTokens(ids), true),
    async close() {
      await model.dispose()
      await dispose()
    },
  }
}
