import type { ErrorCode } from './errors.js'

/** What the system's errors are about, by whose fault they are, and what to do about each. */
interface Story {
  code: ErrorCode
  what: string
  todo: string
}

export function storyOf({ code, message }: { code: string; message: string }): Story {
  const name = nameOf(code)
  return stories[name] ?? unusual(name, message)
}

/** Node has no name for some errors, and gives their number. */
function nameOf(code: string): string {
  const number = /-(\d+)$/.exec(code)?.[1]
  return number === undefined ? code : (unnamed[process.platform]?.[number] ?? code)
}

const unnamed: Partial<Record<NodeJS.Platform, Record<string, string>>> = {
  linux: { '116': 'ESTALE', '122': 'EDQUOT', '123': 'ENOMEDIUM' },
  darwin: { '69': 'EDQUOT', '70': 'ESTALE' },
}

function unusual(name: string, message: string): Story {
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

const noRoom = 'Free some space, or choose another place with `out`; `resume` goes on from here.'
const noFiles = 'Raise the limit (ulimit -n), or lower `threads`.'
const otherPath = 'Choose a path that you may use, or change its permissions.'

const stories: Record<string, Story> = {
  ENOSPC: { code: 'resources', what: 'the disk is full', todo: noRoom },
  EDQUOT: { code: 'resources', what: 'your disk quota is used up', todo: noRoom },
  EFBIG: {
    code: 'resources',
    what: 'the file system does not take a file of this size',
    todo: 'Choose a smaller `maxShardSize`, or another place with `out`.',
  },
  EACCES: { code: 'resources', what: 'permission denied', todo: otherPath },
  EPERM: { code: 'resources', what: 'operation not permitted', todo: otherPath },
  EROFS: {
    code: 'resources',
    what: 'the file system is read-only',
    todo: 'Choose another place with `out`.',
  },
  EMFILE: { code: 'resources', what: 'too many open files', todo: noFiles },
  ENFILE: { code: 'resources', what: 'too many open files in the whole system', todo: noFiles },
  ENOMEM: {
    code: 'resources',
    what: 'the system has no memory left',
    todo: 'End other programs, or lower `maxMemory`.',
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

/** What a call was to do, where only its name is known. */
export const doings: Record<string, string> = {
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
