import { Args, Flags } from '@oclif/core'
import { writeCard } from '../card/card.js'
import { describeCard } from '../cli/card.js'
import { given, OpenLlamaCommand } from '../cli/command.js'
import type { Schemas } from '../cli/json.js'

export default class Card extends OpenLlamaCommand {
  static override summary = 'Write a model card for a directory of weights'

  static override description =
    `Writes README.md with the front matter that the Hub reads: what the files are, their types and sizes, how to load them, what they were made from, what a check found, and known limits; for OpenLLaMA releases their evaluation, as a table and a chart.

Of a card that is there, only the sections between openllama's comments and its keys of the front matter change. Everything else stays as it is.`

  static override examples = [
    '<%= config.bin %> <%= command.id %> open_llama_3b_v2-q4_k_m/ --model open_llama_3b_v2 --repo me/open_llama_3b_v2-GGUF',
    '<%= config.bin %> <%= command.id %> model/ --eval results_2024-06-03.json --eval base.json',
    '<%= config.bin %> <%= command.id %> model/ --loss train_log.csv',
  ]

  static override args = {
    dir: Args.string({ required: true, description: 'The directory with the weights' }),
  }

  static override flags = {
    model: Flags.string({
      helpValue: 'NAME',
      summary:
        'The OpenLLaMA release that the weights are of (open_llama_3b_v2, …); by default the names of files, folder and repository tell',
    }),
    license: Flags.string({
      helpValue: 'ID',
      summary:
        "The model's license, as the Hub calls it (apache-2.0, mit, llama2, other …); by default the card's own, a GGUF's, or that of the release",
    }),
    eval: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'FILE',
      summary:
        'Results of lm-evaluation-harness (JSON); may be repeated, for several runs or several models',
    }),
    loss: Flags.string({
      helpValue: 'FILE',
      summary: 'A training log to draw the loss of: CSV or JSON lines',
    }),
    repo: Flags.string({
      helpValue: 'OWNER/NAME',
      summary: 'The repository that the card is for; the examples load from it',
    }),
    out: Flags.string({
      helpValue: 'PATH',
      summary: 'Where the card goes; by default README.md in the directory',
    }),
  }

  async run(): Promise<Schemas['card']> {
    const { args, flags } = await this.parse(Card)
    const { model, license, eval: evals, loss, repo, out } = flags
    const result = await writeCard(args.dir, given({ model, license, evals, loss, repo, out }))
    this.warnings(result.warnings)
    this.log(describeCard(result))
    return result
  }
}
