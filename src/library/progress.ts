import type { CheckPhase } from '../check/check.js'
import type { LockHolder } from '../io/lock.js'

/** What a long call is doing: bytes of a whole, a step that nothing can be counted of, or waiting. */
export type ProgressEvent =
  | { phase: BytesPhase; done: number; total: number }
  | { phase: 'check'; step: CheckPhase }
  /** Another run is fetching what this one needs. */
  | { phase: 'wait'; holder: LockHolder }

export type BytesPhase = 'convert' | 'verify' | 'compare' | 'tokenize' | 'fetch' | 'send'

/** What every long call takes. */
export interface Attendance {
  /** Ends the call with an error of the kind `interrupted`; what can go on later stays. */
  signal?: AbortSignal
  onProgress?(event: ProgressEvent): void
}
