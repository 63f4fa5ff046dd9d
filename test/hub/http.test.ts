import { createServer, type RequestListener } from 'node:http'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { networkError } from '../../src/hub/errors.js'
import { createClient, type HubClient, messageOf, shownUrl } from '../../src/hub/http.js'
import { signInKeyless } from '../../src/hub/oidc.js'
import { isSafePath, refuseUnsafe } from '../../src/hub/paths.js'
import { pull } from '../../src/hub/pull/pull.js'
import { listRepository } from '../../src/hub/repository.js'
import type { HubSettings } from '../../src/hub/settings.js'
import { fails, failure } from '../support/errors.js'
import { tempDir } from '../support/temp.js'

const test = suite('hub: answers of any kind')

const commit = 'a'.repeat(40)

/** A server of its own, and the way to it. */
async function serving(
  answer: RequestListener,
  work: (client: HubClient, settings: HubSettings) => Promise<unknown>,
): Promise<void> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const settings: HubSettings = {
    endpoint: `http://127.0.0.1:${address.port}`,
    token: undefined,
    offline: false,
    cache: tempDir(),
    patience: 2000,
    firstWait: 1,
  }
  try {
    await work(createClient(settings), settings)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** Sends for as long as it is taken. */
const endless: RequestListener = (request, response) => {
  const block = Buffer.alloc(1 << 20, ' ')
  const more = () => {
    while (!request.destroyed && response.write(block));
  }
  response.on('drain', more)
  more()
}

test('an answer without end is given up', () =>
  serving(endless, async (_, settings) => {
    const client = createClient(settings, 16e6)
    await fails(() => client.fetch(`${settings.endpoint}/api/whoami-v2`), 'hub', 'goes on')
  }))

test('an answer that has no body is one', async () => {
  for (const status of [204, 205, 304]) {
    await serving(
      (_, response) => response.writeHead(status).end(),
      async (client, { endpoint }) => {
        const answer = await client.fetch(`${endpoint}/api/models/a/b`)
        assert.equal([answer.status, await answer.text()], [status, ''])
      },
    )
  }
})

test('what the Hub has to work on gets more patience than a question', () =>
  serving(
    (_, response) => {
      setTimeout(() => response.end('{}'), 600)
    },
    async (_, settings) => {
      const client = createClient({ ...settings, patience: 200 })
      const url = `${settings.endpoint}/api/models/a/b/commit/main`
      const answer = await client.send(url, { method: 'POST', body: '{}' })
      assert.is(answer.status, 200)
      const ended = await client.send(url, {}).then(
        () => 'answered',
        () => 'given up',
      )
      assert.is(ended, 'given up')
    },
  ))

test('the words of an error are a few, however many come', () =>
  serving(
    (request, response) => {
      response.statusCode = 400
      endless(request, response)
    },
    async (client) => {
      const response = await client.send(client.settings.endpoint, {})
      assert.ok((await messageOf(response)).length <= 300)
    },
  ))

test('a token’s answer without end is given up', () =>
  serving(endless, async (_, settings) => {
    await fails(
      () => signInKeyless(settings, 'a/b', { HF_OIDC_ID_TOKEN: 'x' }),
      'hub',
      'gives this CI job no token',
    )
  }))

test('a listing whose pages have no end', () => {
  let pages = 0
  return serving(
    ({ headers }, response) => {
      pages++
      const next = pages < 2000 ? `/api?${pages}` : '/api'
      response.setHeader('Link', `<http://${headers.host}${next}>; rel="next"`)
      response.end('[]')
    },
    async (client) => {
      const few = { ...client, params: { ...client.params, fetch: counted(client.params.fetch) } }
      await fails(() => listRepository(few, 'a/b', commit), 'hub', 'no end')
    },
  )
})

/** Answers what is asked for from memory after the first time: 2,000 requests take their time. */
function counted(send: typeof fetch): typeof fetch {
  let first: Promise<[string, Headers]> | undefined
  return async (input, init) => {
    first ??= send(input, init).then(async (response) => [await response.text(), response.headers])
    const [text, headers] = await first
    return Object.defineProperty(new Response(text, { headers }), 'url', { value: String(input) })
  }
}

test('a next page that is nowhere', () =>
  serving(
    (_, response) => {
      response.setHeader('Link', '<http://[>; rel="next"')
      response.end('[]')
    },
    async (client) => {
      const error = await failure(() => listRepository(client, 'a/b', commit))
      assert.is(error.code, 'hub', error.message)
    },
  ))

test('who is named in an address is not shown', () => {
  assert.is(shownUrl('https://me:word@x.org/a?sig=b#c'), 'https://x.org/a')
  assert.is(shownUrl('http://['), 'an address that is none')
  const { message } = networkError(new Error('no URL: https://me:word@x.org/a?sig=b'), 'p')
  assert.not.match(message, /word|sig/)
})

test('paths that a folder cannot safely have', () => {
  for (const path of [
    ...[
      '.git/config',
      '.GIT/hooks/pre-commit',
      'a/.Git/config',
      '.git',
      'git~1/config',
      '.hg/hgrc',
    ],
    ...[
      '.g\u200cit/config',
      'a\u0085b',
      'a\u009bb',
      'a\u202egnp.exe',
      '\u2066a',
      'a\u2028b',
      'a\ud800b',
    ],
    ...['../a', '/a', 'a//b', 'a/./b', 'C:/a', 'nul', 'aux.txt', 'a.', 'a ', 'a\\b', 'a\u0000', ''],
  ]) {
    assert.not.ok(isSafePath(path), JSON.stringify(path))
  }
  for (const path of [
    '.gitattributes',
    '.gitignore',
    'a/한국어.txt',
    'né.md',
    '.github/x',
    'git/x',
  ]) {
    assert.ok(isSafePath(path), path)
  }
})

test('a path that is refused is shown so that it can be read', async () => {
  const error = await fails(
    () => refuseUnsafe('a\u202eb\u009b/c', 'o/r'),
    'hub',
    '\\u{202e}',
    '\\u{9b}',
  )
  assert.not.match(error.message, /[\u202e\u009b]/)
  assert.ok((await failure(() => refuseUnsafe('\u0000'.repeat(1e6), 'o/r'))).message.length < 2000)
})

test('pull --out of a file, or in one: before anything is asked', () =>
  serving(
    () => assert.unreachable(),
    async (_, settings) => {
      const file = process.argv[1] ?? ''
      for (const out of [file, `${file}/folder/x`]) {
        const options = { out, link: false, force: false, include: [], exclude: [] }
        await fails(() => pull('a/b', settings, options), 'usage', file, 'Name a folder')
      }
    },
  ))

test.run()
