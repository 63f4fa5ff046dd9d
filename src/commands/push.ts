import { Args, Flags } from '@oclif/core'
import { given, OpenLlamaCommand } from '../cli/command.js'
import { filterFlags } from '../cli/filter-flags.js'
import type { Schemas } from '../cli/json.js'
import { startProgress } from '../cli/progress.js'
import { describePushed } from '../cli/pushed.js'
import { push } from '../library/hub.js'

export default class Push extends OpenLlamaCommand {
  static override summary = 'Publish a folder on the Hub'

  static override description =
    'Before anything is sent, the card is validated, every file is held against openllama.json, the check must have passed, and secrets are looked for. Then only what differs is sent, and what the Hub has afterwards is compared with what is here. Interrupted, the same command goes on where it was. Files that only the remote has stay. A token is taken from HF_TOKEN, from the login of the Hub’s client, or in CI from a trusted publisher.'

  static override examples = [
    '<%= config.bin %> <%= command.id %> open_llama_3b_v2-q4_k_m/ me/open_llama_3b_v2-GGUF --dry-run',
    '<%= config.bin %> <%= command.id %> open_llama_3b_v2-q4_k_m/ me/open_llama_3b_v2-GGUF --create --private',
    '<%= config.bin %> <%= command.id %> model/ openlm-research/open_llama_3b_v2 --create-pr --message "Add a GGUF"',
    '<%= config.bin %> <%= command.id %> model/ me/model --include "*.md" --include "*.json"',
  ]

  static override args = {
    dir: Args.string({ required: true, description: 'The folder' }),
    repository: Args.string({ required: true, description: 'owner/repo' }),
  }

  static override flags = {
    revision: Flags.string({
      helpValue: 'BRANCH',
      summary: 'The branch that it goes to, made from main where it is not there; by default main',
    }),
    create: Flags.boolean({ default: false, summary: 'Make the repository where it is not there' }),
    private: Flags.boolean({
      default: false,
      summary: 'Make it private; a repository that is there must be private',
    }),
    'create-pr': Flags.boolean({
      default: false,
      summary: 'Open a pull request, or go on with an open one of the same message',
    }),
    ...filterFlags,
    message: Flags.string({
      helpValue: 'TEXT',
      summary: 'The message of the commit, the title of the pull request',
    }),
    unchecked: Flags.boolean({
      default: false,
      summary: 'Push what no check has passed, or what has no openllama.json',
    }),
    'dry-run': Flags.boolean({
      default: false,
      summary: 'Show what differs and how much would be sent, and send nothing',
    }),
  }

  async run(): Promise<Schemas['push']> {
    const { args, flags } = await this.parse(Push)
    const { revision, message, include, exclude } = flags
    const progress = await startProgress()
    try {
      const pushed = await push(args.dir, args.repository, {
        ...given({ revision, message, include, exclude }),
        create: flags.create,
        createPr: flags['create-pr'],
        private: flags.private,
        unchecked: flags.unchecked,
        dryRun: flags['dry-run'],
        signal: this.signal,
        onProgress: progress.show,
      })
      progress.stop()
      this.warnings(pushed.warnings)
      this.log(describePushed(pushed))
      return pushed
    } finally {
      progress.stop()
    }
  }
}
