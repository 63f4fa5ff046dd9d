import { Args, Flags } from '@oclif/core'
import { parseLimits } from '../check/limits.js'
import { checkJson, describeCheck, describeDevices } from '../cli/check.js'
import { given, OpenLlamaCommand, sourceFlags } from '../cli/command.js'
import type { Schemas } from '../cli/json.js'
import { startProgress } from '../cli/progress.js'
import { listDevices } from '../engines/devices.js'
import { devices } from '../engines/engine.js'
import { exitCodes, usageError } from '../io/errors.js'
import { parseSize } from '../io/units.js'
import { check } from '../library/check.js'

export default class Check extends OpenLlamaCommand {
  static override summary = 'Run a checkpoint, and hold it against its source'

  static override description =
    'Runs the checkpoint as it lies (GGUF in llama.cpp, everything else in ONNX Runtime), lets it continue a prompt, and with --against compares what it computes with what the source computes, in any two formats: KL divergence, the likeliest token, logits and perplexity over a text, and weights, configuration and tokenizer. Exits 4 where a limit of its type is exceeded, and says where the two part.'

  static override examples = [
    '<%= config.bin %> <%= command.id %> model-q4_k_m.gguf --against open_llama_7b_v2/',
    '<%= config.bin %> <%= command.id %> params::streaming_params --config open_llama_3b_v2 --prompt "Once upon a time"',
    '<%= config.bin %> <%= command.id %> model-q4_k_m.gguf --against open_llama_7b_v2/ --report check.html',
    '<%= config.bin %> <%= command.id %> open_llama_7b_v2-gguf/ --against open_llama_7b_v2/ --record',
    '<%= config.bin %> <%= command.id %> --devices',
  ]

  static override args = {
    artifact: Args.string({ description: 'The checkpoint to run' }),
  }

  static override flags = {
    against: Flags.string({
      helpValue: 'SOURCE',
      summary: 'The checkpoint that it must compute the same as',
    }),
    device: Flags.option({
      options: devices,
      default: 'auto' as const,
      summary: 'Where to run it; auto takes a GPU that llama.cpp finds, else the CPU',
    })(),
    devices: Flags.boolean({ default: false, summary: 'List what there is to run on' }),
    prompt: Flags.string({ helpValue: 'TEXT', summary: 'What the model is to continue' }),
    tokens: Flags.integer({
      min: 1,
      default: 32,
      helpValue: 'N',
      summary: 'Tokens to continue with at most',
    }),
    positions: Flags.integer({
      min: 1,
      helpValue: 'N',
      summary:
        'Positions of the text to compare at; by default 256, or more to see beyond a sliding window',
    }),
    corpus: Flags.string({
      helpValue: 'FILE',
      summary: 'A UTF-8 text in the place of the built-in one',
    }),
    limit: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'METRIC=VALUE',
      dependsOn: ['against'],
      summary:
        'Another limit for kld, kld_median, kld_p999, top1, logit, nmse or perplexity; may be repeated',
    }),
    report: Flags.string({
      helpValue: 'FILE.html',
      summary: 'Write a page with the verdict, the figures, charts and both continuations',
    }),
    record: Flags.boolean({
      dependsOn: ['against'],
      summary: 'Keep the figures in the openllama.json that convert wrote, for card and push',
    }),
    'max-memory': Flags.string({
      helpValue: 'SIZE',
      summary: 'Memory at most; by default what is free',
    }),
    threads: Flags.integer({
      min: 1,
      helpValue: 'N',
      summary: 'Threads; by default one a physical core',
    }),
    ...sourceFlags,
  }

  async run(): Promise<Schemas['check']> {
    const { args, flags } = await this.parse(Check)
    if (flags.devices) {
      const found = await listDevices()
      this.log(describeDevices(found))
      return { devices: found }
    }
    if (args.artifact === undefined) {
      throw usageError('no checkpoint is named', {
        suggestions: ['Name the one to check; --devices lists what there is to run on.'],
      })
    }
    const { config, heads, tokenizer, against, prompt, positions, corpus, threads } = flags
    const memory = flags['max-memory']
    const options = {
      ...given({
        config,
        heads,
        tokenizer,
        against,
        prompt,
        positions,
        corpus,
        threads,
        maxMemory: memory === undefined ? undefined : parseSize(memory, '--max-memory'),
        report: flags.report,
      }),
      record: flags.record,
      device: flags.device,
      tokens: flags.tokens,
      limits: parseLimits(flags.limit ?? []),
    }
    const progress = await startProgress()
    const result = await check(args.artifact, {
      ...options,
      signal: this.signal,
      onProgress: progress.show,
      onChecked: (checked) => {
        progress.stop()
        this.warnings(checked.warnings)
        this.log(describeCheck(checked))
      },
    }).finally(progress.stop)
    if (result.record.verdict === 'failed') process.exitCode = exitCodes.check
    return checkJson(args.artifact, result)
  }
}
