import { printableName, printableSentence } from './printable.js'
import { doings, storyOf } from './system-errors.js'

/**
 * What went wrong, by who can mend it. The exit codes are those that users and
 * pipelines may rely on (docs/cli.md).
 */
export const exitCodes = {
  usage: 2,
  input: 3,
  check: 4,
  hub: 5,
  resources: 6,
  interrupted: 130,
} as const

export type ErrorCode = keyof typeof exitCodes

export interface ErrorDetails {
  /** The file at fault, as the user named it. */
  path?: string | undefined
  /** The format that was being read or written. */
  format?: string | undefined
  /** The tensor at fault, by its name in the file. */
  tensor?: string | undefined
  /** What to do about it: a sentence each. */
  suggestions?: string[]
  cause?: unknown
}

/**
 * Characters at most, since names, paths and texts from files may have megabytes: in all less than
 * 2,000 in a message, and as many again in what to do.
 */
const most = { path: 400, name: 200, what: 1200, suggestions: 4, suggestion: 480 }

/**
 * The one error class of the library: what, where (`path`, `tensor`, both
 * numbers in the message) and what to do. Anything else that is thrown is a bug.
 */
export class OpenLlamaError extends Error {
  readonly code: ErrorCode
  /** The message without where it happened. */
  readonly what: string
  readonly path: string | undefined
  readonly format: string | undefined
  readonly tensor: string | undefined
  readonly suggestions: string[]

  constructor(code: ErrorCode, what: string, details: ErrorDetails = {}) {
    const tensor =
      details.tensor === undefined ? undefined : printableName(details.tensor, most.name)
    const where = [
      details.format,
      details.path === undefined ? undefined : printableName(details.path, most.path),
      tensor === undefined ? undefined : `tensor "${tensor}"`,
    ].filter((part) => part !== undefined)
    const short = printableSentence(what, most.what)
    super([...where, short].join(': '), { cause: details.cause })
    this.name = 'OpenLlamaError'
    this.code = code
    this.what = short
    this.path = details.path
    this.format = details.format
    this.tensor = tensor
    this.suggestions = (details.suggestions ?? [])
      .slice(0, most.suggestions)
      .map((each) => printableSentence(each, most.suggestion))
  }

  /** The parts that it was made of: plain data, as threads can pass it on. */
  get parts(): { code: ErrorCode; what: string; details: Omit<ErrorDetails, 'cause'> } {
    const { code, what, path, format, tensor, suggestions } = this
    return { code, what, details: { path, format, tensor, suggestions } }
  }

  /** The process exit code this error ends with. */
  get exit(): number {
    return exitCodes[this.code]
  }
}

/** The checkpoint, or a file beside it, is malformed or unsupported. */
export function inputError(what: string, details?: ErrorDetails): OpenLlamaError {
  return new OpenLlamaError('input', what, details)
}

/** The command was called in a way that cannot work. */
export function usageError(what: string, details?: ErrorDetails): OpenLlamaError {
  return new OpenLlamaError('usage', what, details)
}

/**
 * Turns an error of the operating system into ours: a full disk, an unwritable
 * or a missing path each get a sentence that says what to do. Our own errors
 * and bugs pass through unchanged.
 */
export function fromSystemError(error: unknown, path: string, doing: string): unknown {
  if (!isSystemError(error)) return error
  const { code, what, todo } = storyOf(error)
  return new OpenLlamaError(code, `cannot ${doing}: ${what}`, {
    path,
    suggestions: [todo],
    cause: error,
  })
}

/**
 * The same for an error that comes without its story, from a call that nobody wrapped: the path and
 * the call are its own.
 */
export function fromAnySystemError(error: unknown): unknown {
  if (!isSystemError(error)) return error
  const path = 'path' in error && typeof error.path === 'string' ? error.path : undefined
  const call = 'syscall' in error && typeof error.syscall === 'string' ? error.syscall : ''
  return fromSystemError(error, path ?? 'a file', doings[call] ?? 'use it')
}

interface SystemError extends Error {
  code: string
}

/** Node's own errors have codes too, ERR_…, and are bugs. */
function isSystemError(error: unknown): error is SystemError {
  return (
    error instanceof Error &&
    !(error instanceof OpenLlamaError) &&
    'code' in error &&
    typeof error.code === 'string' &&
    /^E(?!RR_)[A-Z0-9]+$|^Unknown system error/.test(error.code)
  )
}
