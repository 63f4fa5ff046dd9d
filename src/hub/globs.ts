import { usageError } from '../io/errors.js'

/** Which files are meant, as the Hub's own tools have it. */
export interface Choice {
  /** All, where none is given. */
  include: readonly string[]
  exclude: readonly string[]
}

export function selects({ include, exclude }: Choice, path: string): boolean {
  const chosen = include.length === 0 || include.some((glob) => matches(glob, path))
  return chosen && !exclude.some((glob) => matches(glob, path))
}

/** Python's fnmatch: a star stands for slashes too; a folder for all that is in it. */
function matches(glob: string, path: string): boolean {
  const whole = glob.endsWith('/') ? `${glob}*` : glob
  const pattern = whole.replace(/\*|\?|\[!?\]?[^\]]*\]|[^*?[]+|\[/g, (part) => {
    if (part === '*') return '.*'
    if (part === '?') return '.'
    if (part.length > 1 && part.startsWith('[')) {
      const inside = part.slice(1, -1).replace(/[\\\]^]/g, '\\$&')
      return `[${inside.startsWith('!') ? `^${inside.slice(1)}` : inside}]`
    }
    return part.replace(/[.+^${}()|[\]\\/-]/g, '\\$&')
  })
  try {
    return new RegExp(`^${pattern}$`, 's').test(path)
  } catch {
    throw usageError(`"${glob}" is no pattern: a range in it ends before it begins`)
  }
}
