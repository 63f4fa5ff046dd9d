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
import { gguf, listParts } from '../formats/gguf/gguf.js'
import { vocabularyIn } from '../formats/gguf/kinds.js'
import { opaqueIn } from '../formats/gguf/opaque.js'
import { readParts } from '../formats/gguf/split.js'
import { agreeing, readSource } from '../open/open.js'
import { findSource } from '../open/source.js'
import { summarizeTokenizer } from '../tokenizer/summary.js'

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
    const source = await findSource(args.source)
    const { format, path, cache } = source
    const parts = format === gguf ? await cache.within(() => readParts(path)) : undefined
    const vocabulary = parts && vocabularyIn(parts, args.source)
    if (vocabulary !== undefined) {
      this.log(describeVocabulary(vocabulary))
      return vocabularyInspection(vocabulary)
    }
    const opaque = parts && opaqueIn(parts, args.source)
    if (opaque !== undefined) {
      this.log(describeOpaque(opaque, flags.tensors))
      return opaqueInspection(opaque, flags.tensors)
    }
    const list = parts && (() => listParts(parts, path))
    const opened = agreeing(await readSource(source, given({ config, heads, tokenizer }), list))
    const { summary, notes } = await summarizeTokenizer(opened)
    const checkpoint = { ...opened, notes: [...opened.notes, ...notes] }
    this.warnings(checkpoint.notes)
    this.log(describeCheckpoint(checkpoint, summary, flags.tensors))
    return inspection(checkpoint, summary, flags.tensors)
  }
}
