/**
 * The library. Nothing of it prints or ends the process: results are returned, progress is events,
 * and what goes wrong is an OpenLlamaError.
 */
import { registerHub } from './library/hub-store.js'

export { type CardOptions, type CardResult, writeCard as card } from './card/card.js'
export type { Checkpoint } from './checkpoint/checkpoint.js'
export type { ConvertResult } from './convert/convert.js'
export { type DeviceFound, listDevices } from './engines/devices.js'
export { targetFormats } from './formats/index.js'
export { type ErrorCode, exitCodes, OpenLlamaError } from './io/errors.js'
export { type Checked, type CheckOptions, check } from './library/check.js'
export {
  type ConversionPlan,
  type ConvertOptions,
  carryOut,
  convert,
  plan,
  validatePlan,
} from './library/conversion.js'
export { type Compared, type DiffOptions, diff } from './library/diff.js'
export { type HubOptions, type PullOptions, type PushOptions, pull, push } from './library/hub.js'
export { type Inspected, inspect } from './library/inspection.js'
export { type SetMetadataOptions, setMetadata } from './library/metadata.js'
export type { Attendance, BytesPhase, ProgressEvent } from './library/progress.js'
export {
  checkTokenizer,
  convertTokenizer,
  type TokenizerCheckOptions,
  type TokenizerConvertOptions,
} from './library/tokenizer.js'
export { type OpenOptions, openCheckpoint } from './open/open.js'
export type { CheckRecord } from './record/check.js'

registerHub()
