import { Args, Flags } from '@oclif/core'
import { given, OpenLlamaCommand } from '../cli/command.js'
import { filterFlags } from '../cli/filter-flags.js'
import type { Schemas } from '../cli/json.js'
import { startProgress } from '../cli/progress.js'
import { describePulled } from '../cli/pulled.js'
import { pull } from '../library/hub.js'

export default class Pull extends OpenLlamaCommand {
  static override summary = 'Fetch a repository from the Hub'

  static override description =
    'Fills the cache that huggingface_hub keeps (HF_HOME), so that Python finds what was pulled, and the other way round. Every file is held against the hash that the Hub has of it. Interrupted, the same command goes on where it was. A token is taken from HF_TOKEN, or from the login of the Hub’s client.'

  static override examples = [
    '<%= config.bin %> <%= command.id %> openlm-research/open_llama_3b_v2',
    '<%= config.bin %> <%= command.id %> openlm-research/open_llama_3b_v2@main --out open_llama_3b_v2',
    '<%= config.bin %> <%= command.id %> openlm-research/open_llama_7b_v2 --include "*.json" --include tokenizer.model',
  ]

  static override args = {
    repository: Args.string({
      required: true,
      description: 'owner/repo, with @ and a branch, a tag or a commit where it is not main',
    }),
  }

  static override flags = {
    out: Flags.string({
      helpValue: 'DIR',
      summary: 'A folder that gets the files too; by default they are in the cache alone',
    }),
    link: Flags.boolean({
      summary: 'In --out, make links into the cache, which take no disk',
      dependsOn: ['out'],
    }),
    ...filterFlags,
    force: Flags.boolean({
      summary: 'Replace other files in --out',
      dependsOn: ['out'],
    }),
  }

  async run(): Promise<Schemas['pull']> {
    const { args, flags } = await this.parse(Pull)
    const { out, link, force, include, exclude } = flags
    const progress = await startProgress()
    try {
      const pulled = await pull(args.repository, {
        ...given({ out, link, force, include, exclude }),
        signal: this.signal,
        onProgress: progress.show,
      })
      progress.stop()
      this.log(describePulled(pulled))
      return pulled
    } finally {
      progress.stop()
    }
  }
}
