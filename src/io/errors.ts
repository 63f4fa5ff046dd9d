import { printableName, printableSentence } from './printable.js'

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
  const name = nameOfError(error)
  const { code, what, todo } = systemErrors[name] ?? unusual(name, error)
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

/** What a call was to do, where only its name is known. */
const doings: Record<string, string> = {
  open: 'open it',
  read: 'read it',
  scandir: 'list it',
  opendir: 'list it',
  stat: 'look at it',
  lstat: 'look at it',
  fstat: 'look at it',
  statfs: 'look at its disk',
  realpath: 'look at it',
  readlink: 'look at it',
  access: 'use it',
  write: 'write it',
  fsync: 'write it',
  fdatasync: 'write it',
  ftruncate: 'write it',
  copyfile: 'copy it',
  rename: 'rename it',
  link: 'link it',
  symlink: 'link it',
  unlink: 'remove it',
  rmdir: 'remove it',
  rm: 'remove it',
  mkdir: 'make it',
}

function unusual(name: string, { message }: Error): (typeof systemErrors)[string] {
  if (/^E(CONN|AI_|NOTFOUND|HOST|NET|ADDR|TIMEDOUT|PIPE|PROTO)/.test(name)) {
    return {
      code: 'hub',
      what: `the connection failed (${name})`,
      todo: 'Check the network, and run the command again.',
    }
  }
  return {
    code: 'resources',
    what: `the system reports ${message}`,
    todo: 'Check the path, the disk, and the limits of the system.',
  }
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

/** Node has no name for some errors, and gives their number. */
function nameOfError(error: SystemError): string {
  const number = /-(\d+)$/.exec(error.code)?.[1]
  return number === undefined ? error.code : (unnamed[process.platform]?.[number] ?? error.code)
}

const unnamed: Partial<Record<NodeJS.Platform, Record<string, string>>> = {
  linux: { '116': 'ESTALE', '122': 'EDQUOT', '123': 'ENOMEDIUM' },
  darwin: { '69': 'EDQUOT', '70': 'ESTALE' },
}

const noRoom = 'Free some space, or choose another place with --out; --resume goes on from here.'
const noFiles = 'Raise the limit (ulimit -n), or lower --threads.'
const otherPath = 'Choose a path that you may use, or change its permissions.'

const systemErrors: Record<string, { code: ErrorCode; what: string; todo: string }> = {
  ENOSPC: { code: 'resources', what: 'the disk is full', todo: noRoom },
  EDQUOT: { code: 'resources', what: 'your disk quota is used up', todo: noRoom },
  EFBIG: {
    code: 'resources',
    what: 'the file system does not take a file of this size',
    todo: 'Choose a smaller --max-shard-size, or another place with --out.',
  },
  EACCES: { code: 'resources', what: 'permission denied', todo: otherPath },
  EPERM: { code: 'resources', what: 'operation not permitted', todo: otherPath },
  EROFS: {
    code: 'resources',
    what: 'the file system is read-only',
    todo: 'Choose another place with --out.',
  },
  EMFILE: { code: 'resources', what: 'too many open files', todo: noFiles },
  ENFILE: { code: 'resources', what: 'too many open files in the whole system', todo: noFiles },
  ENOMEM: {
    code: 'resources',
    what: 'the system has no memory left',
    todo: 'End other programs, or lower --max-memory.',
  },
  EIO: {
    code: 'resources',
    what: 'the device reports an input/output error',
    todo: 'Check the disk.',
  },
  EBUSY: {
    code: 'resources',
    what: 'it is in use',
    todo: 'End what uses it: another program, or a mount at the path.',
  },
  ETXTBSY: {
    code: 'resources',
    what: 'it is a program that is running',
    todo: 'Choose another path.',
  },
  EAGAIN: {
    code: 'resources',
    what: 'the system has none of what it takes just now',
    todo: 'Run the command again.',
  },
  ESTALE: {
    code: 'resources',
    what: 'the network’s file system has lost it',
    todo: 'Mount it again, and run the command again.',
  },
  ENXIO: { code: 'resources', what: 'its device is not there', todo: 'Check the disk.' },
  ENODEV: { code: 'resources', what: 'its device is not there', todo: 'Check the disk.' },
  ENOMEDIUM: { code: 'resources', what: 'its device is empty', todo: 'Check the disk.' },
  EINVAL: {
    code: 'resources',
    what: 'the file system does not take it',
    todo: 'Choose another place: some file systems know neither such names nor such sizes.',
  },
  ENOSYS: {
    code: 'resources',
    what: 'the file system cannot do it',
    todo: 'Choose another place.',
  },
  ENOTSUP: {
    code: 'resources',
    what: 'the file system cannot do it',
    todo: 'Choose another place.',
  },
  EXDEV: {
    code: 'resources',
    what: 'it would have to go from one file system to another',
    todo: 'Choose a path that is not a mount of its own.',
  },
  EEXIST: {
    code: 'resources',
    what: 'something is there already',
    todo: 'Is another program at work there? Remove it, or choose another path.',
  },
  ENOTEMPTY: {
    code: 'resources',
    what: 'it is a directory with something in it',
    todo: 'Is another program at work there? Remove it, or choose another path.',
  },
  ENOTDIR: {
    code: 'resources',
    what: 'a part of the path is a file, not a directory',
    todo: 'Check the path.',
  },
  ENOENT: { code: 'input', what: 'no such file or directory', todo: 'Check the path.' },
  EISDIR: { code: 'input', what: 'it is a directory', todo: 'Name a file in it.' },
  ELOOP: {
    code: 'input',
    what: 'its links lead in a circle',
    todo: 'Name the file itself.',
  },
  ENAMETOOLONG: {
    code: 'input',
    what: 'a name in the path is longer than the file system takes',
    todo: 'Choose a shorter one.',
  },
}
