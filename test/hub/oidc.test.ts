import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readSignedIn, signInKeyless } from '../../src/hub/oidc.js'
import { push } from '../../src/hub/push/push.js'
import type { HubSettings } from '../../src/hub/settings.js'
import { openllama } from '../support/cli.js'
import { fails } from '../support/errors.js'
import { modelFolder, noise, plainPush } from '../support/hub/folder.js'
import { type Provider, startProvider } from '../support/hub/publishers.js'
import { type Session, startSession } from '../support/hub/session.js'

const test = suite('tokens of trusted publishers')

const idToken = 'eyIdToken.OfThisJob.Signature'

let session: Session
let provider: Provider
let nobody: HubSettings

test.before(async () => {
  session = await startSession()
  provider = await startProvider(idToken)
  nobody = { ...session.settings, token: undefined, firstWait: 2 }
  for (const resource of ['tester/trusted', 'tester/second']) {
    await session.hub.commit(resource, { 'x.txt': 'x' })
    session.hub.publishers.push({ resource, idToken, seconds: 3600 })
  }
})

test.after(async () => {
  provider.close()
  await session.hub.close()
})

test.before.each(() => {
  session.hub.reset()
  provider.audiences.length = 0
})

const folder = modelFolder({ 'a.gguf': noise(1, 900) })

/** Tokens that were exchanged, and what they came from. */
const secret = /ExchangedToken|eyIdToken|TheRequestToken/

test('GitHub: an id token for the Hub, exchanged for a token of the repository', async () => {
  const pushed = await push(folder, 'tester/trusted', nobody, { ...plainPush, env: provider.env })
  assert.is(pushed.commits, 1)
  assert.equal(provider.audiences, ['https://huggingface.co'])
  assert.is(session.hub.count('token').requests, 1)
  assert.not.match(JSON.stringify(pushed), secret)
  // The caller's settings are as they were.
  assert.is(nobody.token, undefined)
  const commit = session.hub.requests.find(({ kind }) => kind === 'commit')
  assert.match(commit?.authorization ?? '', /^Bearer hf_jwt_ExchangedToken/)
})

test('another provider: the id token that the job gives', async () => {
  const env = { HF_OIDC_ID_TOKEN: idToken }
  await push(folder, 'tester/second', nobody, { ...plainPush, env })
  assert.is(provider.audiences.length, 0)
})

test('a token that was given goes first', async () => {
  const settings = { ...session.settings }
  assert.is(await signInKeyless(settings, 'tester/trusted', provider.env), undefined)
  assert.is(session.hub.count('token').requests, 0)
  assert.is(await signInKeyless({ ...nobody }, 'tester/trusted', {}), undefined)
})

test('what it is not trusted for, and what GitHub does not give, is told without the tokens', async () => {
  const refused = await fails(
    () => push(folder, 'tester/other', nobody, { ...plainPush, env: provider.env }),
    'hub',
    'tester/other',
    'invalid_grant',
    'trusted publishers',
  )
  assert.not.match(`${refused.stack} ${JSON.stringify(refused)} ${refused.cause}`, secret)
  const env = { ...provider.env, ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'TheRequestTokenOfAnother' }
  const none = await fails(
    () => signInKeyless({ ...nobody }, 'tester/trusted', env),
    'hub',
    'id-token: write',
  )
  assert.not.match(`${none.stack} ${JSON.stringify(none)}`, secret)
})

test('a token for one repository is refused for another', async () => {
  const env = { ...provider.env, HF_OIDC_RESOURCE: 'tester/trusted' }
  await fails(
    () =>
      push(modelFolder({ 'b.gguf': noise(2, 90) }), 'tester/second', nobody, { ...plainPush, env }),
    'hub',
    '403',
    'permission',
  )
})

test('reading signs in only where HF_OIDC_RESOURCE asks for it', async () => {
  const env = { ...session.env, ...provider.env, HF_TOKEN: '' }
  assert.is((await readSignedIn(env)).token, undefined)
  assert.is(session.hub.count('token').requests, 0)
  const { token } = await readSignedIn({ ...env, HF_OIDC_RESOURCE: 'tester/trusted' })
  assert.match(token ?? '', /^hf_jwt_/)
})

test('HF_OIDC_RESOURCE goes before a token, and is not passed over where there is no identity', async () => {
  const settings = { ...session.settings }
  const env = { ...provider.env, HF_OIDC_RESOURCE: 'tester/trusted' }
  await signInKeyless(settings, 'tester/other', env)
  assert.match(settings.token ?? '', /^hf_jwt_ExchangedToken/)
  const alone = { HF_OIDC_RESOURCE: 'tester/trusted' }
  await fails(
    () => signInKeyless({ ...nobody }, 'x/y', alone),
    'hub',
    'HF_OIDC_RESOURCE',
    'id token',
  )
})

test('an id token that the job was given is not exchanged a second time before it must be', async () => {
  session.hub.publishers.push({ resource: 'tester/given', idToken, seconds: 200 })
  const settings = { ...nobody }
  const keyless = await signInKeyless(settings, 'tester/given', { HF_OIDC_ID_TOKEN: idToken })
  await keyless?.renew()
  assert.is(session.hub.count('token').requests, 1)
})

test('a busy Hub is asked again; one that stays so is told', async () => {
  session.hub.faults.push({ on: 'token', status: 503, times: 2 })
  assert.ok(await signInKeyless({ ...nobody }, 'tester/trusted', provider.env))
  session.hub.faults.push({ on: 'token', cutAfter: 3, times: 99 })
  const error = await fails(
    () => signInKeyless({ ...nobody }, 'tester/trusted', provider.env),
    'hub',
    'connection',
  )
  assert.not.match(`${error.stack} ${error.cause}`, secret)
})

test('is renewed before it ends, once for all that notice', async () => {
  session.hub.publishers.push({ resource: 'tester/short', idToken, seconds: 200 })
  const settings = { ...nobody }
  const keyless = await signInKeyless(settings, 'tester/short', provider.env)
  const first = settings.token
  await Promise.all([keyless?.renew(), keyless?.renew(), keyless?.renew()])
  assert.is.not(settings.token, first)
  assert.is(session.hub.count('token').requests, 2)
  const long = { ...nobody }
  const lasting = await signInKeyless(long, 'tester/trusted', provider.env)
  await lasting?.renew()
  assert.is(session.hub.count('token').requests, 3)
})

test('from the command line, with nothing of it in the output', async () => {
  const env = { ...session.env, ...provider.env, HF_TOKEN: '' }
  const { code, stdout, stderr } = await openllama(['push', folder, 'tester/trusted', '--json'], {
    env,
  })
  assert.is(code, 0, stderr)
  assert.not.match(stdout + stderr, secret)
  const other = await openllama(['push', folder, 'tester/third'], { env })
  assert.is(other.code, 5, other.stderr)
  assert.not.match(other.stdout + other.stderr, secret)
})

test.run()
