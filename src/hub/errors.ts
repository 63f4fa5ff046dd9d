import { HubApiError } from '@huggingface/hub'
import { OpenLlamaError } from '../io/errors.js'

/** An error of the Hub's or of the way to it: exit code 5. */
export function hubError(
  what: string,
  details: { path?: string; suggestions?: string[]; cause?: unknown } = {},
): OpenLlamaError {
  return new OpenLlamaError('hub', what, details)
}

/**
 * What may go better next time: the connection, or a server that is busy. `told`
 * is what to say where it does not.
 */
export class Transient extends Error {
  readonly told: OpenLlamaError
  /** Milliseconds that the server asks to wait. */
  readonly wait: number | undefined
  constructor(told: OpenLlamaError, wait?: number) {
    super(told.message, { cause: told })
    this.told = told
    this.wait = wait
  }
}

/** What a status means, and what to do about it. */
export function statusError(status: number, message: string, path: string): OpenLlamaError {
  const said = message.trim() === '' ? '' : `: ${safeMessage(message)}`
  return hubError(`the Hub answers ${status}${said}`, {
    path,
    suggestions: [whatToDo(status, message)],
  })
}

function whatToDo(status: number, message: string): string {
  if (status === 401 && /credentials|expired/i.test(message)) {
    return 'The token is not valid, or not any more: make another at the Hub, and put it into HF_TOKEN or sign in again (hf auth login).'
  }
  switch (status) {
    case 401:
      return 'There is no such repository, or it wants to know who you are: check its name; set HF_TOKEN, or sign in with `hf auth login`.'
    case 403:
      return 'The token may not do this: ask for access on the repository’s page, or use a token that has the permission.'
    case 404:
      return 'Check the names of the repository, the revision and the file; where it is private, HF_TOKEN must have access to it.'
    case 409:
      return 'Something of this name is there already.'
    case 412:
      return 'Somebody else changed the repository meanwhile: run the command again.'
    case 413:
      return 'Send fewer or smaller files in one commit.'
    case 416:
      return 'The file has changed at the Hub: run the command again.'
    case 422:
      return 'The Hub does not accept what was sent; the message says what of it.'
    case 429:
      return 'Too many requests were made: wait some minutes, and run the command again; it goes on where it was.'
    default:
      return status >= 500
        ? 'The Hub has a problem of its own: run the command again later; it goes on where it was.'
        : 'Run the command again; if it stays so, the message is for the Hub’s support.'
  }
}

/** The error for a connection that could not be made, or broke off. */
export function networkError(error: unknown, path: string): OpenLlamaError {
  return hubError(`the connection failed: ${reasonOf(error)}`, {
    path,
    suggestions: [
      'Check the network, HF_ENDPOINT and the proxy settings, and run the command again; it goes on where it was.',
    ],
    cause: error,
  })
}

/** fetch says "fetch failed"; what failed is in the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error) return reasonOf(error.cause)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const text = safeMessage(error.message)
  return code === '' || text.includes(code) ? text || error.name : `${text || error.name} (${code})`
}

/** A message of others, as it may be shown. */
export function safeMessage(text: string): string {
  return withoutQueries(text).replace(/\s+/g, ' ').trim().slice(0, 500)
}

/**
 * Signed addresses are as good as keys: what comes after the path is not shown, nor who is named
 * before the host.
 */
function withoutQueries(text: string): string {
  return text
    .replace(/(:\/\/)[^\s/?#"']*@/g, '$1')
    .replace(/(https?:\/\/[^\s?"')]+)\?[^\s"')]*/g, '$1')
}

/** Runs calls of the client's; its errors become ours. */
export async function hubCall<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof HubApiError) {
      // It ends with the address and the request's id.
      const message = error.message.replace(/\.? ?URL: .*$/s, '')
      throw statusError(error.statusCode, message.replace(/^Api error with status \d+/, ''), path)
    }
    // What the client makes of an answer that is no JSON, or other JSON than it expects.
    if (error instanceof SyntaxError || error instanceof TypeError) {
      throw hubError('the answer is not what the Hub answers', {
        path,
        suggestions: [
          'Check HF_ENDPOINT and the proxy: something else may answer in the place of the Hub.',
        ],
        cause: error,
      })
    }
    throw error
  }
}
