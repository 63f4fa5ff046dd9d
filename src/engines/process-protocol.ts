import type { OpenLlamaError } from '../io/errors.js'
import type { EngineName } from '../record/check.js'
import type { EngineOptions, GenerateOptions } from './engine.js'
import type { Opened } from './open.js'

/** What the program asks of the process that engines run in; all of it is plain data. */
export type Request = { id: number } & (
  | { call: 'open'; opened: Opened; options: EngineOptions & { engine?: EngineName } }
  | { call: 'logits'; engine: number; tokens: readonly number[] }
  | {
      call: 'generate'
      engine: number
      tokens: readonly number[]
      most: number
      draft: NonNullable<GenerateOptions['draft']>
    }
  | { call: 'hiddenStates'; engine: number; tokens: readonly number[] }
  | { call: 'dispose'; engine: number }
)

export type Answer = { id: number } & (
  | {
      kind: 'opened'
      engine: number
      facts: { name: EngineName; device: OpenedDevice; notes: readonly string[] }
      hiddenStates: boolean
    }
  /** A run of floats of the array `array`, which has `length` of them. */
  | { kind: 'floats'; array: number; length: number; start: number; values: Float32Array }
  | { kind: 'tokens'; tokens: number[] }
  | { kind: 'step'; seconds: number }
  | { kind: 'done' }
  | { kind: 'failed'; error: OpenLlamaError['parts'] }
  | { kind: 'bug'; message: string; stack: string | undefined }
)

type OpenedDevice = Exclude<EngineOptions['device'], 'auto'>

/** Floats in one message: whole logits would be in memory once more on either side. */
export const floatsAtOnce = 1024 * 1024
