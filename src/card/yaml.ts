import { Document, visit } from 'yaml'
import type { Json } from '../io/json.js'

/**
 * JSON as YAML that all programs read alike: the Hub's JavaScript (YAML 1.2) and
 * Python's (1.1), to which `no` is false, 2025-01-15 a date and 1e-7 a text.
 */
export function toYaml(value: Json): string {
  const doc = new Document(value)
  visit(doc, {
    Scalar(_, node) {
      // Whatever is more than a word is quoted, so that no rule of either is missed.
      if (typeof node.value === 'string' && !isWord(node.value)) node.type = 'QUOTE_DOUBLE'
    },
  })
  return doc
    .toString({ lineWidth: 0, indentSeq: false })
    .replace(/^(.*: |\s*- )(-?\d)(e[-+]\d+)$/gm, '$1$2.0$3')
}

/** Text without anything that YAML could take for a sign, a number, a date or a truth value. */
function isWord(text: string): boolean {
  return (
    /^[A-Za-z][\w./-]*(?: [\w./-]+)*$/.test(text) &&
    !/^(?:y|n|yes|no|on|off|true|false|null)$/i.test(text)
  )
}
