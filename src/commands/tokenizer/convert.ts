import { Args, Flags } from '@oclif/core'
import { given, OpenLlamaCommand } from '../../cli/command.js'
import type { Schemas } from '../../cli/json.js'
import { convertedTokenizerJson, describeConvertedTokenizer } from '../../cli/tokenizer.js'
import { tokenizerTargets } from '../../convert/tokenizer.js'
import { convertTokenizer } from '../../library/tokenizer.js'

export default class TokenizerConvert extends OpenLlamaCommand {
  static override summary = 'Write a tokenizer as tokenizer.json or tokenizer.model'

  static override description =
    `The tokenizer.json equals SentencePiece, which is checked on built-in probes before anything is written; tokenizer_config.json and special_tokens_map.json come with it. From a GGUF both files are rebuilt from its own vocabulary.

SOURCE is a checkpoint, a folder with a tokenizer, a tokenizer.model, or a GGUF.`

  static override examples = [
    '<%= config.bin %> <%= command.id %> open_llama_7b_v2/ --to tokenizer.json --out fixed/',
    '<%= config.bin %> <%= command.id %> model.gguf --to tokenizer.model',
  ]

  static override args = {
    source: Args.string({ required: true, description: 'What has the tokenizer' }),
  }

  static override flags = {
    to: Flags.option({
      required: true,
      options: tokenizerTargets,
      summary: 'The file to write',
    })(),
    out: Flags.string({
      helpValue: 'PATH',
      summary: 'A folder, or the file itself; by default the working directory',
    }),
    force: Flags.boolean({ summary: 'Replace existing files' }),
  }

  async run(): Promise<Schemas['tokenizer-convert']> {
    const { args, flags } = await this.parse(TokenizerConvert)
    const { to, out, force } = flags
    const converted = await convertTokenizer(args.source, { to, ...given({ out, force }) })
    this.warnings(converted.warnings)
    this.log(describeConvertedTokenizer(converted))
    return convertedTokenizerJson(converted)
  }
}
