import { Args, Flags } from '@oclif/core'
import { given, OpenLlamaCommand, sourceFlags } from '../cli/command.js'
import { describePlan, describeResult, planJson } from '../cli/conversion.js'
import type { Schemas } from '../cli/json.js'
import { mixFlags, mixOptions } from '../cli/mix-flags.js'
import { startProgress } from '../cli/progress.js'
import { onnxTargets } from '../formats/format.js'
import { targetFormats } from '../formats/index.js'
import { parseSize } from '../io/units.js'
import { type ConvertOptions, carryOut, plan, validatePlan } from '../library/conversion.js'
import { mixNames } from '../quantize/mixes.js'
import { nbitsNames } from '../quantize/nbits.js'
import { floatTypes } from '../types/dtype.js'

export default class Convert extends OpenLlamaCommand {
  static override summary = 'Convert a checkpoint to another format'

  static override description =
    `Reads the headers of the source, plans the whole conversion, and carries it out in bounded memory. The output appears at its path only when it is whole; an interrupted conversion goes on with --resume.

SOURCE is a file, a directory, or an EasyLM load string (params::PATH, trainstate_params::PATH, trainstate::PATH, flax_params::PATH).`

  static override examples = [
    '<%= config.bin %> <%= command.id %> open_llama_7b_v2_easylm/checkpoint --to safetensors --dtype f16',
    '<%= config.bin %> <%= command.id %> trainstate_params::streaming_train_state --to safetensors --config open_llama_3b_v2',
    '<%= config.bin %> <%= command.id %> open_llama_3b_v2/ --to gguf --dtype f16 --out open_llama_3b_v2-f16.gguf',
    '<%= config.bin %> <%= command.id %> params::streaming_params --to safetensors --max-shard-size 2GB --dry-run',
  ]

  static override args = {
    source: Args.string({ required: true, description: 'The checkpoint' }),
  }

  static override flags = {
    to: Flags.string({
      required: true,
      options: [...targetFormats],
      summary: 'The format to write',
    }),
    out: Flags.string({
      helpValue: 'PATH',
      summary:
        'Where the output goes, a directory or a file such as model.gguf; by default a directory named after the source',
    }),
    dtype: Flags.option({
      options: ['auto', ...floatTypes, ...mixNames, ...nbitsNames] as const,
      default: 'auto' as const,
      summary:
        'The type of the weights; auto keeps the source’s; q8, q4 and q4f16 are for onnx, the other q… for gguf',
    })(),
    ...sourceFlags,
    name: Flags.string({
      helpValue: 'NAME',
      summary: 'The model’s name in the metadata of gguf; by default the card’s or the folder’s',
    }),
    metadata: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'KEY=VALUE',
      summary: 'Set a key of gguf’s metadata, KEY:TYPE=VALUE with its type; may be repeated',
    }),
    'keep-tokenizer': Flags.boolean({
      summary: 'Pass on the source’s tokenizer files as they are, even if they are wrong',
    }),
    'max-shard-size': Flags.string({
      helpValue: 'SIZE',
      summary: 'Weights in one file at most; by default 5GB, and one file for gguf',
    }),
    'model-parallel': Flags.integer({
      min: 1,
      helpValue: 'N',
      summary: 'For meta: the number of files that the weights are shared out to',
    }),
    'onnx-target': Flags.option({
      options: onnxTargets,
      summary:
        'For onnx: genai adds the configuration of onnxruntime-genai to that of transformers.js',
    })(),
    'fuse-qkv': Flags.boolean({
      summary: 'For gguf: queries, keys and values of a layer in one array, of a float type',
    }),
    'max-memory': Flags.string({
      default: '512MB',
      helpValue: 'SIZE',
      summary: 'Memory for weights at most, whatever the size of the model',
    }),
    threads: Flags.integer({
      min: 1,
      helpValue: 'N',
      summary: 'Worker threads; by default one a core',
    }),
    ...mixFlags,
    'dry-run': Flags.boolean({ default: false, summary: 'Show the plan and write nothing' }),
    tensors: Flags.boolean({
      summary: 'In the plan, list every tensor with its type',
      dependsOn: ['dry-run'],
    }),
    resume: Flags.boolean({
      default: false,
      summary: 'Go on from an interrupted conversion',
      exclusive: ['force'],
    }),
    force: Flags.boolean({
      default: false,
      summary: 'Replace an existing output, discard an unfinished one',
    }),
    check: Flags.boolean({
      allowNo: true,
      summary:
        'Run the output and hold it against the source before it appears; by default where memory allows',
    }),
    'keep-failed': Flags.boolean({
      default: false,
      summary: 'Keep an output that failed its check, in the .partial directory',
    }),
    'allow-non-finite': Flags.boolean({
      default: false,
      summary: 'Keep NaN and infinities of the source',
    }),
    'allow-overflow': Flags.boolean({
      default: false,
      summary: 'Let values that are too large for the type become infinite',
    }),
    'allow-loss': Flags.boolean({
      default: false,
      summary: 'Convert what the format cannot say whole, such as a sliding window into gguf',
    }),
    sha256: Flags.boolean({
      allowNo: true,
      summary:
        'Record the SHA-256 of source and output, which takes reading both once more; by default unless --no-check',
    }),
  }

  async run(): Promise<Schemas['convert']> {
    const { args, flags } = await this.parse(Convert)
    const { config, heads, tokenizer, out, name, metadata, threads, check, sha256 } = flags
    const shard = flags['max-shard-size']
    const options: ConvertOptions = {
      ...given({
        config,
        heads,
        tokenizer,
        out,
        maxShardSize: shard === undefined ? undefined : parseSize(shard, '--max-shard-size'),
        name,
        metadata,
        modelParallel: flags['model-parallel'],
        onnxTarget: flags['onnx-target'],
        fuseQkv: flags['fuse-qkv'],
        mix: mixOptions(flags),
        threads,
        check,
        sha256,
      }),
      to: flags.to,
      dtype: flags.dtype,
      maxMemory: parseSize(flags['max-memory'], '--max-memory'),
      keepTokenizer: flags['keep-tokenizer'],
      resume: flags.resume,
      force: flags.force,
      keepFailed: flags['keep-failed'],
      allowNonFinite: flags['allow-non-finite'],
      allowOverflow: flags['allow-overflow'],
      allowLoss: flags['allow-loss'],
    }
    const planned = await plan(args.source, options)
    if (flags['dry-run']) {
      this.warnings(planned.conversion.warnings)
      this.log(describePlan(planned.conversion, planned.check, flags.tensors))
      await validatePlan(planned)
      return planJson(planned.conversion, planned.check)
    }
    const progress = await startProgress()
    try {
      const result = await carryOut(planned, { signal: this.signal, onProgress: progress.show })
      progress.stop()
      this.warnings(result.warnings)
      this.log(describeResult(result))
      return result
    } finally {
      progress.stop()
    }
  }
}
