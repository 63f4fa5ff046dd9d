import { createServer } from 'node:http'
import { type Exchange, jsonBody, sendJson } from './exchange.js'
import type { HubState } from './state.js'

/** A CI job that a repository trusts. */
export interface Publisher {
  /** The repository, owner/name. */
  resource: string
  /** The one id token that is the job's; instead of a signature. */
  idToken: string
  /** How long the tokens are valid that it gets. */
  seconds: number
}

/** Exchanges the word of a CI's provider for a token, as docs/hub/trusted-publishers has it. */
export async function exchangeToken(state: HubState, exchange: Exchange): Promise<void> {
  const asked = await jsonBody(exchange)
  const { grant_type, subject_token_type, subject_token, resource } = asked
  const wellFormed =
    grant_type === 'urn:ietf:params:oauth:grant-type:token-exchange' &&
    subject_token_type === 'urn:ietf:params:oauth:token-type:id_token' &&
    typeof resource === 'string'
  if (!wellFormed) return sendJson(exchange, { error: 'invalid_request' }, {}, 400)
  const publisher = state.publishers.find(
    (each) => each.resource === resource && each.idToken === subject_token,
  )
  if (publisher === undefined) {
    // Unkind: what was sent is quoted.
    const error_description = `no publisher of ${resource} matches ${String(subject_token)}`
    return sendJson(exchange, { error: 'invalid_grant', error_description }, {}, 400)
  }
  const token = `hf_jwt_ExchangedToken${state.tokens.size}`
  const [user = ''] = resource.split('/')
  state.tokens.set(token, { user, role: 'write', only: resource })
  return sendJson(exchange, {
    access_token: token,
    token_type: 'bearer',
    expires_in: publisher.seconds,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  })
}

/** What GitHub Actions offers a job that may have id tokens. */
export interface Provider {
  env: { ACTIONS_ID_TOKEN_REQUEST_URL: string; ACTIONS_ID_TOKEN_REQUEST_TOKEN: string }
  /** The audiences that tokens were asked for. */
  audiences: (string | null)[]
  close(): void
}

export async function startProvider(idToken: string): Promise<Provider> {
  const requestToken = 'TheRequestTokenOfTheseTests'
  const audiences: (string | null)[] = []
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const may = request.headers.authorization === `Bearer ${requestToken}`
    audiences.push(url.searchParams.get('audience'))
    response.writeHead(may && url.searchParams.get('api-version') === '2' ? 200 : 401)
    response.end(JSON.stringify(may ? { count: 1, value: idToken } : {}))
  })
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('the server is not open')
  return {
    env: {
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://localhost:${address.port}/token?api-version=2`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: requestToken,
    },
    audiences,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
