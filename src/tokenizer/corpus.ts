import { chunksOf } from '../io/chunks.js'
import { fromSystemError } from '../io/errors.js'
import { textReader } from '../io/text.js'

/**
 * The longest text, in UTF-16 units, that is compared at once. A longer line is
 * cut there, so that a file without line breaks does not end up in memory whole.
 */
const maxLineLength = 65_536

/**
 * The lines of a UTF-8 text file, without their line feeds (a carriage return
 * stays), in bounded memory.
 * @throws input error for a file that is no text in UTF-8
 */
export async function* readLines(path: string): AsyncGenerator<string> {
  let rest = ''
  // It carries characters that a chunk cuts in two.
  const text = textReader(path)
  try {
    for await (const chunk of chunksOf(path)) {
      const lines = (rest + text.read(chunk)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) yield* cut(line)
      if (rest.length > maxLineLength) {
        const parts = [...cut(rest)]
        rest = parts.pop() ?? ''
        yield* parts
      }
    }
    rest += text.end()
  } catch (error) {
    throw fromSystemError(error, path, 'read the corpus')
  }
  if (rest !== '') yield* cut(rest)
}

function* cut(line: string): Generator<string> {
  let start = 0
  while (line.length - start > maxLineLength) {
    let end = start + maxLineLength
    // Not through a surrogate pair.
    if (/[\uD800-\uDBFF]/.test(line.charAt(end - 1))) end--
    yield line.slice(start, end)
    start = end
  }
  yield line.slice(start)
}
