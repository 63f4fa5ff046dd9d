import { Args, Flags } from '@oclif/core'
import { given, OpenLlamaCommand, sourceFlags } from '../cli/command.js'
import { describeDiff } from '../cli/difference.js'
import type { Schemas } from '../cli/json.js'
import { startProgress } from '../cli/progress.js'
import { exitCodes } from '../io/errors.js'
import { parseSize } from '../io/units.js'
import { diff } from '../library/diff.js'

export default class Diff extends OpenLlamaCommand {
  static override summary = 'Tell whether two checkpoints are the same model'

  static override description =
    'Compares tensor by tensor in one layout, whatever formats the two are in: equal, equal after a cast, or different, with the largest difference and the first place; and what is missing, extra, or configured otherwise. Exits 4 where they are not the same model.'

  static override examples = [
    '<%= config.bin %> <%= command.id %> params::streaming_params open_llama_7b_v2/',
    '<%= config.bin %> <%= command.id %> model-f32.gguf hf-f16/ --json',
  ]

  static override args = {
    a: Args.string({ required: true, description: 'A checkpoint' }),
    b: Args.string({ required: true, description: 'Another' }),
  }

  static override flags = {
    config: sourceFlags.config,
    heads: sourceFlags.heads,
    'max-memory': Flags.string({
      default: '512MB',
      helpValue: 'SIZE',
      summary: 'Memory for weights at most',
    }),
  }

  async run(): Promise<Schemas['diff']> {
    const { args, flags } = await this.parse(Diff)
    const { config, heads } = flags
    const progress = await startProgress()
    try {
      const { warnings, ...found } = await diff(args.a, args.b, {
        ...given({ config, heads }),
        maxMemory: parseSize(flags['max-memory'], '--max-memory'),
        signal: this.signal,
        onProgress: progress.show,
      })
      progress.stop()
      this.warnings([...warnings, ...found.notes])
      this.log(describeDiff(found))
      if (!found.same) process.exitCode = exitCodes.check
      return found
    } finally {
      progress.stop()
    }
  }
}
