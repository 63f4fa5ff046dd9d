/**
 * What the library says of its options, by the names of a command line's flags: `maxMemory` is
 * --max-memory there, `check: false` --no-check. Words in backticks that are no option stay.
 * @param flags the names of all flags that there are
 */
export function withFlags(text: string, flags: ReadonlySet<string>): string {
  return text.replace(/`([a-z][A-Za-z0-9]*)(: false)?`/g, (whole, option: string, off?: string) => {
    const flag = flagOf(option)
    if (!flags.has(flag)) return whole
    return off === undefined ? `--${flag}` : `--no-${flag}`
  })
}

/** Options of the library that have another name than their flags. */
const otherNames: ReadonlyMap<string, string> = new Map([
  ['tensorTypes', 'tensor-type'],
  ['leaveOutput', 'leave-output-tensor'],
])

function flagOf(option: string): string {
  return otherNames.get(option) ?? option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
