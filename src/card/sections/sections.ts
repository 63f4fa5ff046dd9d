import { inputError } from '../../io/errors.js'

/**
 * The parts of a card that are written here, each between two comments:
 *
 *     <!-- openllama:files -->
 *     …
 *     <!-- /openllama:files -->
 *
 * Everything outside them is somebody's own text, and stays as it is.
 */
export const sectionNames = [
  'about',
  'files',
  'use',
  'check',
  'evaluation',
  'results',
  'loss',
  'limits',
  'provenance',
  'citation',
] as const

export type SectionName = (typeof sectionNames)[number]

/** Markdown by section; empty for one that is to be emptied, absent for one that is to stay. */
export type Sections = Partial<Record<SectionName, string>>

interface Found {
  name: SectionName
  /** Where its text begins and ends, markers excluded. */
  start: number
  end: number
  /** Behind the closing marker's line. */
  after: number
}

/**
 * Puts sections into a card's text. One that the card does not have yet comes
 * after the last of those that stand before it in the order of `sectionNames`;
 * one for which there is the comment `<!-- openllama:without NAME -->` does not come.
 * @throws input error for a marker without its counterpart
 */
export function putSections(text: string, sections: Sections, path: string): string {
  const newline = newlineOf(text)
  const { found, without } = findSections(text, path)
  const inserts: { at: number; until: number; text: string }[] = []
  let anchor = found[0] === undefined ? text.length : undefined
  for (const name of sectionNames) {
    const there = found.find((each) => each.name === name)
    const content = sections[name]
    if (there !== undefined) {
      anchor = there.after
      if (content === undefined) continue
      inserts.push({ at: there.start, until: there.end, text: inner(content, newline) })
    } else if (content !== undefined && content !== '' && !without.has(name)) {
      const at = anchor ?? beforeFirst(text, found)
      inserts.push({ at, until: at, text: whole(name, content, newline) })
    }
  }
  // Several that are new at one place are in their order already.
  let result = ''
  let position = 0
  for (const insert of inserts.toSorted((a, b) => a.at - b.at)) {
    const before = text.slice(position, insert.at)
    result += before
    const isNew = insert.at === insert.until && /<!-- openllama:/.test(insert.text)
    if (isNew) result += gap(result, newline)
    result += insert.text
    position = insert.until
    const rest = text.slice(position)
    if (isNew && rest !== '' && !/^\r?\n/.test(rest)) result += newline
  }
  return result + text.slice(position)
}

function beforeFirst(text: string, found: readonly Found[]): number {
  const first = found.toSorted((a, b) => a.start - b.start)[0]
  if (first === undefined) return text.length
  return text.lastIndexOf('<!-- openllama:', first.start)
}

function inner(content: string, newline: string): string {
  return content === '' ? '' : `${content.trimEnd()}\n`.replaceAll('\n', newline)
}

function whole(name: SectionName, content: string, newline: string): string {
  return `<!-- openllama:${name} -->${newline}${inner(content, newline)}<!-- /openllama:${name} -->${newline}`
}

/** What is missing for an empty line at the end of a text. */
function gap(before: string, newline: string): string {
  if (before === '' || /(?:\r?\n){2}$/.test(before.slice(-4))) return ''
  return before.endsWith('\n') ? newline : newline + newline
}

export function newlineOf(text: string): '\n' | '\r\n' {
  let crlf = 0
  let lf = 0
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) {
    if (text[at - 1] === '\r') crlf++
    else lf++
  }
  return crlf > lf ? '\r\n' : '\n'
}

const marker = /^ {0,3}<!-- (\/?)openllama:(?:(without) )?([a-z]+) -->[ \t]*\r?$/

function findSections(text: string, path: string): { found: Found[]; without: Set<string> } {
  const found: Found[] = []
  const without = new Set<string>()
  let open: { name: SectionName; start: number; line: number } | undefined
  let fence: string | undefined
  let number = 0
  let next = 0
  for (let offset = 0; offset < text.length; offset = next) {
    number++
    const feed = text.indexOf('\n', offset)
    next = feed === -1 ? text.length : feed + 1
    // Texts have megabytes of lines that are neither a marker nor a fence.
    if (!mayBegin(text, offset)) continue
    const line = text.slice(offset, feed === -1 ? text.length : feed)
    fence = fenceAfter(line, fence)
    const match = fence === undefined ? marker.exec(line) : null
    if (match !== null) {
      const [, closing, off, word = ''] = match
      const name = sectionNames.find((each) => each === word)
      const where = { path: `${path}, line ${number}` }
      if (name === undefined) {
        throw inputError(`there is no section "${word}"`, {
          ...where,
          suggestions: [`There are ${sectionNames.join(', ')}.`],
        })
      }
      if (off !== undefined) without.add(name)
      else if (closing === '') {
        if (open !== undefined) {
          throw inputError(
            `the section "${name}" begins in "${open.name}", which began in line ${open.line} and has not ended`,
            where,
          )
        }
        if (found.some((each) => each.name === name)) {
          throw inputError(`the section "${name}" is there twice`, where)
        }
        open = { name, start: next, line: number }
      } else if (open?.name === name) {
        found.push({ name, start: open.start, end: offset, after: next })
        open = undefined
      } else {
        throw inputError(`the section "${name}" ends and has not begun`, where)
      }
    }
  }
  if (open !== undefined) {
    throw inputError(`the section "${open.name}" begins and does not end`, {
      path: `${path}, line ${open.line}`,
      suggestions: [`Put <!-- /openllama:${open.name} --> where it ends, or remove the marker.`],
    })
  }
  return { found, without }
}

/** Whether a line begins, after three blanks at most, as a comment or a fence does. */
function mayBegin(text: string, offset: number): boolean {
  let at = offset
  while (at < offset + 3 && text[at] === ' ') at++
  const first = text[at]
  return first === '<' || first === '`' || first === '~'
}

/** The fence of the code block that a line is in, or that it opens. */
function fenceAfter(line: string, open: string | undefined): string | undefined {
  const run = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line.replace(/\r$/, ''))
  const [, mark = '', info = ''] = run ?? []
  if (open === undefined) {
    return mark === '' || (mark.startsWith('`') && info.includes('`')) ? undefined : mark
  }
  const closes = mark.startsWith(open) && info.trim() === ''
  return closes ? undefined : open
}
