import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  Lexer,
  LineCounter,
  parseDocument,
  visit,
} from 'yaml'
import { inputError } from './errors.js'
import { type Json, parseJson } from './json.js'

/**
 * Cards of models with thousands of benchmark figures have some 300 kB of YAML. The parser takes
 * some microseconds a lexeme, and errors, nested lists and indentation cost it more than that.
 */
const maxLength = 1024 * 1024
const maxLexemes = 100_000
const maxDepth = 100
const maxIndentation = 1000
/** Each is looked up among all nodes. */
const maxAliases = 100

export interface YamlOptions {
  /** `failsafe`: every scalar is a text, whatever it looks like. */
  schema?: 'core' | 'failsafe'
  /** The line of the file that the text begins in, for messages. */
  firstLine?: number
}

/**
 * Parses YAML that anybody may have written: its work and its memory are bounded by its length.
 * @throws input error for what is no YAML, what is beyond all use, and aliases of nothing
 */
export function parseYaml(text: string, path: string, options: YamlOptions = {}): Document.Parsed {
  const { schema = 'core', firstLine = 1 } = options
  checkBounds(text, path)
  const lines = new LineCounter()
  // Keys are compared with each other below, in one pass.
  const doc = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    schema,
  })
  const fail = (what: string, at: number) =>
    inputError(`its YAML is not valid: ${what}`, {
      path: `${path}, line ${lines.linePos(at).line + firstLine - 1}`,
      suggestions: ['Mend it by hand: the Hub would not take it either.'],
    })
  const [error] = doc.errors
  if (error !== undefined) throw fail(error.message, error.pos[0])
  const anchors = new Set<string>()
  let aliases = 0
  visit(doc, {
    Node: (_, node) => {
      const at = node.range?.[0] ?? 0
      if (isAlias(node)) {
        aliases++
        if (aliases > maxAliases) throw fail(`more than ${maxAliases} aliases are in it`, at)
        if (!anchors.has(node.source)) {
          throw fail(
            `*${shortened(node.source)} stands for &${shortened(node.source)}, which is not before it`,
            at,
          )
        }
        return
      }
      if (node.anchor !== undefined) anchors.add(node.anchor)
      if (!isMap(node)) return
      const keys = new Set<unknown>()
      for (const { key } of node.items) {
        if (!isScalar(key)) continue
        if (keys.has(key.value)) {
          throw fail(
            `the key "${shortened(String(key.value))}" is there twice`,
            key.range?.[0] ?? at,
          )
        }
        keys.add(key.value)
      }
    },
  })
  return doc
}

/**
 * What a document says, as JSON has it.
 * @throws input error for aliases that grow beyond all bounds, or are in what they stand for
 */
export function yamlToJson(doc: Document.Parsed, path: string): Json {
  try {
    return parseJson(JSON.stringify(doc.toJS({ maxAliasCount: maxAliases })) ?? 'null')
  } catch (cause) {
    throw inputError('the aliases in its YAML grow beyond all bounds, or are in themselves', {
      path,
      suggestions: ['Write what they stand for.'],
      cause,
    })
  }
}

function shortened(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 59)}…`
}

/** The lexer alone is linear: it tells what would be too much for the parser. */
function checkBounds(text: string, path: string): void {
  const tooMuch = (what: string) =>
    inputError(`its YAML ${what}`, { path, suggestions: ['No card needs that: shorten it.'] })
  if (text.length > maxLength) {
    throw tooMuch(`has ${text.length} characters, ${maxLength} are the most`)
  }
  let lexemes = 0
  let flow = 0
  let indicators = 0
  let isLineStart = true
  for (const lexeme of new Lexer().lex(text)) {
    if (++lexemes > maxLexemes) throw tooMuch(`has more than ${maxLexemes} words and signs`)
    if (isLineStart && lexeme.length > maxIndentation && /^ /.test(lexeme)) {
      throw tooMuch(`is indented by more than ${maxIndentation} blanks`)
    }
    if (lexeme === '[' || lexeme === '{') flow++
    else if (lexeme === ']' || lexeme === '}') flow--
    else if (lexeme === '-' || lexeme === '?' || lexeme === ':') indicators++
    isLineStart = lexeme.endsWith('\n')
    // Within brackets a line has as many keys as it likes, and none of them nests.
    if (isLineStart || flow > 0) indicators = 0
    if (flow > maxDepth || indicators > maxDepth) {
      throw tooMuch(`nests more than ${maxDepth} levels deep`)
    }
  }
}
