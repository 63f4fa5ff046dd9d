import { Flags } from '@oclif/core'
import type { MixOptions } from '../convert/mix.js'
import { given } from './command.js'

/** How a quantization mix of GGUF is to be departed from, as llama-quantize's users know it. */
export const mixFlags = {
  pure: Flags.boolean({ summary: 'For q types: all matrices get the mix’s plain type' }),
  'output-tensor-type': Flags.string({
    helpValue: 'TYPE',
    summary: 'For q types: the type of the output head',
  }),
  'token-embedding-type': Flags.string({
    helpValue: 'TYPE',
    summary: 'For q types: the type of the embedding',
  }),
  'tensor-type': Flags.string({
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'REGEX=TYPE',
    summary: 'For q types: the type of tensors whose GGUF name matches; may be repeated',
  }),
  'leave-output-tensor': Flags.boolean({
    summary: 'For q types: leave the output head as it is',
  }),
  imatrix: Flags.string({
    helpValue: 'FILE',
    summary: 'For q types: an importance matrix of llama.cpp’s, GGUF or legacy',
  }),
  'allow-requantize': Flags.boolean({
    summary: 'For q types: quantize what is quantized already',
  }),
  strict: Flags.boolean({ summary: 'For q types: refuse fallbacks to other types' }),
}

interface GivenFlags {
  pure?: boolean
  'output-tensor-type'?: string | undefined
  'token-embedding-type'?: string | undefined
  'tensor-type'?: string[] | undefined
  'leave-output-tensor'?: boolean
  imatrix?: string | undefined
  'allow-requantize'?: boolean
  strict?: boolean
}

/** What was given of them, or undefined where nothing was. */
export function mixOptions(flags: GivenFlags): MixOptions | undefined {
  const options = given({
    pure: flags.pure,
    outputTensorType: flags['output-tensor-type'],
    tokenEmbeddingType: flags['token-embedding-type'],
    tensorTypes: flags['tensor-type'],
    leaveOutput: flags['leave-output-tensor'],
    imatrix: flags.imatrix,
    allowRequantize: flags['allow-requantize'],
    strict: flags.strict,
  })
  return Object.keys(options).length === 0 ? undefined : options
}
