/**
 * What is kept in files (notes in openllama.json, in reports) calls options as the library does. A
 * program in which they have other names, such as a command line, registers how it says them: who
 * reads the files afterwards knows its names.
 */
export type Wording = (text: string) => string

let registered: Wording = (text) => text

export function registerWording(wording: Wording): void {
  registered = wording
}

/** Notes as they are kept. */
export function worded(notes: readonly string[]): string[] {
  return notes.map((note) => registered(note))
}
