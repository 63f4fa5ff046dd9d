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
    const where = [
      details.format,
      details.path,
      details.tensor === undefined ? undefined : `tensor "${details.tensor}"`,
    ].filter((part) => part !== undefined)
    super([...where, what].join(': '), { cause: details.cause })
    this.name = 'OpenLlamaError'
    this.code = code
    this.what = what
    this.path = details.path
    this.format = details.format
    this.tensor = details.tensor
    this.suggestions = details.suggestions ?? []
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
  if (!(error instanceof Error) || error instanceof OpenLlamaError || !('code' in error)) {
    return error
  }
  const told = systemErrors[String(error.code)]
  if (told === undefined) return error
  return new OpenLlamaError(told.code, `cannot ${doing}: ${told.what}`, {
    path,
    suggestions: [told.todo],
    cause: error,
  })
}

const systemErrors: Record<string, { code: ErrorCode; what: string; todo: string }> = {
  ENOSPC: {
    code: 'resources',
    what: 'the disk is full',
    todo: 'Free some space, or choose another place with --out; --resume goes on from here.',
  },
  EDQUOT: {
    code: 'resources',
    what: 'your disk quota is used up',
    todo: 'Free some space, or choose another place with --out; --resume goes on from here.',
  },
  EFBIG: {
    code: 'resources',
    what: 'the file system does not take a file of this size',
    todo: 'Choose a smaller --max-shard-size, or another place with --out.',
  },
  EACCES: {
    code: 'resources',
    what: 'permission denied',
    todo: 'Choose a path that you may use, or change its permissions.',
  },
  EPERM: {
    code: 'resources',
    what: 'operation not permitted',
    todo: 'Choose a path that you may use, or change its permissions.',
  },
  EROFS: {
    code: 'resources',
    what: 'the file system is read-only',
    todo: 'Choose another place with --out.',
  },
  EMFILE: {
    code: 'resources',
    what: 'too many open files',
    todo: 'Raise the limit (ulimit -n), or lower --threads.',
  },
  ENOENT: {
    code: 'input',
    what: 'no such file or directory',
    todo: 'Check the path.',
  },
  ENOTDIR: {
    code: 'resources',
    what: 'a part of the path is a file, not a directory',
    todo: 'Check the path.',
  },
  EISDIR: {
    code: 'input',
    what: 'it is a directory',
    todo: 'Name a file in it.',
  },
  EIO: {
    code: 'resources',
    what: 'the device reports an input/output error',
    todo: 'Check the disk.',
  },
}
