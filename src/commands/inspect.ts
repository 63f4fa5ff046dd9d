import { Args, Flags } from '@oclif/core'
import { given, OpenLlamaCommand, sourceFlags } from '../cli/command.js'
import {
  describeCheckpoint,
  describeOpaque,
  describeVocabulary,
  inspection,
  opaqueInspection,
  vocabularyInspection,
} from '../cli/inspection.js'
import type { Schemas } from '../cli/json.js'
import { inspect } from '../library/inspection.js'

export default class Inspect extends OpenLlamaCommand {
  static override summary = 'Show what a checkpoint is, without reading its weights'

  static override description =
    'Reads headers only: a checkpoint of 27 GB takes less than a second. Shows format, configuration, sizes, types, and with --tensors every tensor and where its bytes are.'

  static override examples = [
    '<%= config.bin %> <%= command.id %> open_llama_7b_v2/',
    '<%= config.bin %> <%= command.id %> params::streaming_params --heads 32 --tensors',
    '<%= config.bin %> <%= command.id %> streaming_train_state --json',
  ]

  static override args = {
    source: Args.string({ required: true, description: 'The checkpoint' }),
  }

  static override flags = {
    ...sourceFlags,
    tensors: Flags.boolean({ summary: 'List every tensor' }),
  }

  async run(): Promise<Schemas['inspect']> {
    const { args, flags } = await this.parse(Inspect)
    const { config, heads, tokenizer } = flags
    const found = await inspect(args.source, given({ config, heads, tokenizer }))
    this.warnings(found.warnings)
    switch (found.kind) {
      case 'vocabulary':
        this.log(describeVocabulary(found.vocabulary))
        return vocabularyInspection(found.vocabulary)
      case 'opaque':
        this.log(describeOpaque(found.opaque, flags.tensors))
        return opaqueInspection(found.opaque, flags.tensors)
      case 'checkpoint':
        this.log(describeCheckpoint(found.checkpoint, found.tokenizer, flags.tensors))
        return inspection(found, flags.tensors)
    }
  }
}
