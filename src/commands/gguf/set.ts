import { Args, Flags } from '@oclif/core'
import { OpenLlamaCommand } from '../../cli/command.js'
import type { Schemas } from '../../cli/json.js'
import { describeEdit, editJson } from '../../cli/metadata.js'
import { startProgress } from '../../cli/progress.js'
import { setMetadata } from '../../library/metadata.js'

export default class GgufSet extends OpenLlamaCommand {
  static override summary = 'Set metadata of a GGUF file'

  static override description =
    `Changes the header in place where it keeps its size up to the padding; else writes a new file, which takes the old one's place when it is whole. The weights stay as they are, byte for byte. The openllama.json that lists the file changes with it. A change that was interrupted is undone by the next call, also without KEY=VALUE. Values with which llama.cpp, or this program, could not read the file are refused.

A value has the type that the key has in the file. For a new key it is what GGUF's documentation says, or what the value looks like; KEY:TYPE=VALUE says it (uint32, float32, bool, string, string[] …). Arrays are separated by commas, or JSON.`

  static override examples = [
    '<%= config.bin %> <%= command.id %> model.gguf general.license=apache-2.0',
    '<%= config.bin %> <%= command.id %> model.gguf general.name="Open LLaMA 3B v2" general.languages=en,ko',
    '<%= config.bin %> <%= command.id %> model.gguf llama.context_length:uint32=4096 --dry-run',
  ]

  // The changes are as many as the user likes.
  static override strict = false

  static override args = {
    file: Args.string({ required: true, description: 'The GGUF file, of a split one the first' }),
    change: Args.string({ description: 'KEY=VALUE or KEY:TYPE=VALUE; may be repeated' }),
  }

  static override flags = {
    'dry-run': Flags.boolean({
      default: false,
      summary: 'Show what would be done and write nothing',
    }),
  }

  async run(): Promise<Schemas['gguf-set']> {
    const { args, argv, flags } = await this.parse(GgufSet)
    const assignments = argv.slice(1).map(String)
    const progress = await startProgress()
    try {
      const result = await setMetadata(args.file, assignments, {
        dryRun: flags['dry-run'],
        signal: this.signal,
        onProgress: progress.show,
      })
      progress.stop()
      this.warnings(result.warnings)
      this.log(describeEdit(args.file, result.edit, flags['dry-run']))
      return editJson(args.file, result, flags['dry-run'])
    } finally {
      progress.stop()
    }
  }
}
