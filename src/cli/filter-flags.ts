import { Flags } from '@oclif/core'

/** Which files of a repository are meant, as users of `hf` know it. */
export const filterFlags = {
  include: Flags.string({
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'GLOB',
    summary: 'Only files that match, such as "*.safetensors"; may be repeated',
  }),
  exclude: Flags.string({
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'GLOB',
    summary: 'No files that match; may be repeated',
  }),
}
