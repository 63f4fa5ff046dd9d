import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cardFaults } from '../../card/validate.js'
import { fromSystemError, inputError } from '../../io/errors.js'
import { property } from '../../io/json.js'
import { hubError, statusError } from '../errors.js'
import { type HubClient, messageOf } from '../http.js'

const cardName = 'README.md'

/** The card of a folder, as it is to be shown. */
export interface CardFile {
  local: string
  text: string
}

/**
 * Reads the card and looks at its front matter.
 * @throws input error where there is none, or none that can be read
 */
export async function readCard(folder: string): Promise<CardFile> {
  const local = join(folder, cardName)
  const text = await readFile(local, 'utf8').catch((error: unknown) => {
    if (property(error, 'code') !== 'ENOENT') throw fromSystemError(error, local, 'read it')
    throw inputError(`there is no ${cardName}: nobody could tell what the model is`, {
      path: folder,
      suggestions: [`\`openllama card ${folder}\` writes one.`],
    })
  })
  const faults = cardFaults(text, local)
  if (faults.length === 0) return { local, text }
  throw inputError(faults.join('; '), {
    path: local,
    suggestions: [`Mend the lines between the two ---, or run \`openllama card ${folder}\`.`],
  })
}

/**
 * Asks the Hub what it thinks of the card's front matter.
 * @returns warnings
 * @throws input error for what it would refuse
 */
export async function validateCard(
  { fetch, settings }: HubClient,
  { local, text }: CardFile,
): Promise<string[]> {
  const url = `${settings.endpoint}/api/validate-yaml`
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ repoType: 'model', content: text }),
  })
  // The errors are in the body, of answers with 400 too.
  const clone = response.clone()
  const answer: unknown = await response.json().catch(() => undefined)
  const errors = messagesOf(property(answer, 'errors'))
  if (errors.length > 0) {
    throw inputError(`the Hub does not accept its front matter: ${errors.join('; ')}`, {
      path: local,
      suggestions: ['Mend it, or run `openllama card` again.'],
    })
  }
  if (!response.ok) throw statusError(response.status, await messageOf(clone), url)
  if (answer === undefined) throw hubError('the Hub does not say whether the card is valid')
  return messagesOf(property(answer, 'warnings')).map((warning) => `${cardName}: ${warning}`)
}

function messagesOf(list: unknown): string[] {
  if (!Array.isArray(list)) return []
  return list.flatMap((item) => {
    const message = property(item, 'message')
    return typeof message === 'string' ? [message] : []
  })
}
