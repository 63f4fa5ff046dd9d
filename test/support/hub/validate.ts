import { parseFrontMatter } from '../../../src/io/front-matter.js'
import { type Exchange, jsonBody, sendJson } from './exchange.js'

/** A few of the licenses that the Hub knows. */
const licenses = ['apache-2.0', 'mit', 'llama2', 'llama3', 'bsd-3-clause', 'cc-by-4.0', 'other']

/** What the Hub says of the metadata of a card, as far as tests need it. */
export async function validateYaml(exchange: Exchange): Promise<void> {
  const { content } = await jsonBody(exchange)
  const text = String(content)
  const fields = parseFrontMatter(text, 'README.md')
  const errors: string[] = []
  const license = fields.get('license')
  if (license !== undefined && !licenses.includes(String(license))) {
    errors.push(`"license" must be one of [${licenses.join(', ')}]`)
  }
  for (const language of [fields.get('language') ?? []].flat()) {
    if (!/^([a-z]{2,3}|code|multilingual)$/.test(language)) {
      errors.push('"language" must only contain lowercase characters, an ISO 639 code')
    }
  }
  const empty = !text.startsWith('---')
  const warnings = empty ? ['empty or missing yaml metadata in repo card'] : []
  const messages = (texts: string[]) => texts.map((message) => ({ message }))
  const body = { errors: messages(errors), warnings: messages(warnings) }
  const headers = errors.length > 0 ? { 'X-Error-Message': 'Invalid metadata' } : {}
  return sendJson(exchange, body, headers, errors.length > 0 ? 400 : 200)
}
