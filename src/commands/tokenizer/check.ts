import { Args, Flags } from '@oclif/core'
import { OpenLlamaCommand } from '../../cli/command.js'
import type { Schemas } from '../../cli/json.js'
import { startProgress } from '../../cli/progress.js'
import { describeTokenizerCheck, tokenizerCheckJson } from '../../cli/tokenizer-check.js'
import { exitCodes } from '../../io/errors.js'
import { checkTokenizer } from '../../library/tokenizer.js'

export default class TokenizerCheck extends OpenLlamaCommand {
  static override summary = 'Tell whether all programs get the same tokens'

  static override description =
    `Encodes and decodes built-in probes, and the lines of your own files, with SentencePiece, with the tokenizer.json (the one that is there, else the one that convert would write), and with llama.cpp where there is a GGUF. Shows where any two differ, side by side. What llama.cpp cannot do for a tokenizer is counted apart, with what to do about it. Exits 4 where two that can agree do not.

SOURCE is a checkpoint, a folder with a tokenizer, a tokenizer.model, or a GGUF.`

  static override examples = [
    '<%= config.bin %> <%= command.id %> open_llama_7b_v2/',
    '<%= config.bin %> <%= command.id %> model.gguf --corpus book.txt --corpus program.py',
  ]

  static override args = {
    source: Args.string({ required: true, description: 'What has the tokenizer' }),
  }

  static override flags = {
    corpus: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'FILE',
      summary: 'A UTF-8 text file, taken line by line; may be repeated',
    }),
  }

  async run(): Promise<Schemas['tokenizer-check']> {
    const { args, flags } = await this.parse(TokenizerCheck)
    const progress = await startProgress()
    try {
      const check = await checkTokenizer(args.source, {
        corpora: flags.corpus ?? [],
        signal: this.signal,
        onProgress: progress.show,
      })
      progress.stop()
      this.warnings(check.notes)
      this.log(describeTokenizerCheck(check))
      if (!check.ok) process.exitCode = exitCodes.check
      return tokenizerCheckJson(args.source, check)
    } finally {
      progress.stop()
    }
  }
}
