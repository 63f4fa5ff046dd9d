import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { equalBytes } from '../support/bytes.js'
import { openllama } from '../support/cli.js'
import { modelFolder, noise } from '../support/hub/folder.js'
import { publishTiny, type Session, startSession, token } from '../support/hub/session.js'
import { tempDir } from '../support/temp.js'

const test = suite('commands: push')

let session: Session

test.before(async () => {
  session = await startSession()
  session.hub.multipartAbove = 200_000
  session.hub.partSize = 100_000
})

test.after(() => session.hub.close())

test.before.each(() => session.hub.reset())

async function run(...args: string[]) {
  const ran = await openllama(args, { env: session.env, checked: true })
  assert.not.ok((ran.stdout + ran.stderr).includes(token), 'the token is in the output')
  return ran
}

/** All files of a folder, by their paths in it. */
function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

test('hf:// EasyLM → GGUF q4_k_m → card → push → pull, a command each', async () => {
  await publishTiny(session.hub)
  const folder = join(tempDir(), 'tiny-gguf')
  const pulled = join(tempDir(), 'pulled')
  const conversion = 'convert hf://tester/tiny --to gguf --dtype q4_k_m --check'
  const converted = await run(...conversion.split(' '), '--out', folder)
  assert.is(converted.code, 0, converted.stderr)
  const about = ['--license', 'apache-2.0', '--repo', 'tester/tiny-GGUF']
  const described = await run('card', folder, ...about)
  assert.is(described.code, 0, described.stderr)
  const pushed = await run('push', folder, 'tester/tiny-GGUF', '--create', '--json')
  assert.is(pushed.code, 0, pushed.stdout)
  const result = JSON.parse(pushed.stdout)
  assert.is(result.repository, 'tester/tiny-GGUF')
  assert.is(result.bytes_sent, result.bytes_to_send)
  const back = await run('pull', 'tester/tiny-GGUF', '--out', pulled, '--exclude', '.gitattributes')
  assert.is(back.code, 0, back.stderr)
  const sent = filesOf(folder)
  assert.is(filesOf(pulled).length, sent.length)
  for (const path of sent) {
    const name = path.slice(folder.length)
    equalBytes(readFileSync(join(pulled, name)), readFileSync(path), name)
    assert.not.ok(readFileSync(path).includes(token), `the token is in ${name}`)
  }
  const record = JSON.parse(readFileSync(join(pulled, 'openllama.json'), 'utf8'))
  assert.is(record.source.repository, 'tester/tiny')
})

test('what people see: a plan, what was sent, that all is there', async () => {
  const folder = modelFolder({ 'a.gguf': noise(1, 5000) }, { 'config.json': '{}\n' })
  const dry = await run('push', folder, 'tester/seen', '--create', '--dry-run')
  assert.is(dry.code, 0, dry.stderr)
  assert.match(dry.stdout, /a new repository; 4 new, 0 changed, 0 the same.* to be sent/)
  assert.match(dry.stdout, /new +5\.00 kB +a\.gguf/)
  assert.not.ok(session.hub.repositories.has('model tester/seen'))
  const pushed = await run('push', folder, 'tester/seen', '--create')
  assert.match(pushed.stdout, /4 new.*sent in one commit.*every hash compared/)
  assert.match(pushed.stdout, `${session.hub.url}/tester/seen`)
  const again = await run('push', folder, 'tester/seen')
  assert.match(again.stdout, /nothing to send: all 4 files are there/)
  assert.match(again.stdout, /kept +\d+ B +\.gitattributes/)
  const asked = await run('push', folder, 'tester/seen', '--create-pr')
  assert.is(asked.code, 0, asked.stderr)
  assert.is(session.hub.repository('tester/seen').discussions.length, 0, 'nothing to ask for')
})

test('exit codes, and errors for programs', async () => {
  const folder = modelFolder({ 'a.gguf': noise(2, 5000) }, {}, 'failed')
  assert.is((await run('push', folder, 'tester/codes', '--create')).code, 4)
  const missing = await run('push', folder, 'tester/codes', '--unchecked', '--json')
  assert.is(missing.code, 5)
  const { error } = JSON.parse(missing.stdout)
  assert.is(error.code, 'hub')
  assert.ok(error.suggestions.some((each: string) => each.includes('--create')))
  writeFileSync(join(folder, 'key.txt'), '-----BEGIN PRIVATE KEY-----\n')
  assert.is((await run('push', folder, 'tester/codes', '--create', '--unchecked')).code, 3)
  assert.is((await run('push', folder, 'codes', '--create')).code, 2)
  assert.is((await run('push', folder)).code, 2)
})

test('killed in the middle: the same command sends what is missing', async () => {
  const weights = noise(3, 950_000)
  const folder = modelFolder({ 'a.gguf': weights, 'b.gguf': noise(4, 50_000) })
  session.hub.faults.push({ on: 'part', after: 5, delay: 20_000, times: 1000 })
  const killed = await openllama(['push', folder, 'tester/killed', '--create'], {
    env: session.env,
    async onStart(child) {
      const { hub } = session
      const arrived = () =>
        hub.requests.filter(({ kind, status }) => kind === 'part' && status === 200)
      while (arrived().length < 5 && child.exitCode === null) await wait(20)
      // The parts are noted down when their answers have come.
      await wait(300)
      child.kill('SIGKILL')
    },
  })
  assert.is(killed.signal, 'SIGKILL', killed.stderr)
  session.hub.reset()
  const again = await run('push', folder, 'tester/killed', '--create', '--json')
  assert.is(again.code, 0, again.stdout)
  assert.is(session.hub.count('part').received, 950_000 - 5 * 100_000)
  assert.is(session.hub.count('upload').received, 0, 'b.gguf had arrived')
  const result = JSON.parse(again.stdout)
  assert.ok(result.bytes_sent < result.bytes_to_send)
  assert.not.ok(existsSync(join(folder, '.cache')))
})

test('tells who is to be told that it was interrupted', async () => {
  const folder = modelFolder({ 'a.gguf': noise(5, 5000) })
  session.hub.faults.push({ on: 'upload', delay: 20_000 })
  const { code, stderr } = await openllama(['push', folder, 'tester/stopped', '--create'], {
    env: session.env,
    async onStart(child) {
      while (session.hub.count('upload').requests === 0 && child.exitCode === null) await wait(20)
      child.kill('SIGINT')
    },
  })
  assert.is(code, 130, stderr)
  assert.match(stderr, 'goes on')
})

test('nothing that is kept has the token', async () => {
  const home = session.env.HF_HOME ?? ''
  for (const path of filesOf(home)) {
    assert.not.ok(readFileSync(path).includes(token), path)
  }
})

test.run()
