import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { scanSecrets } from '../../../src/hub/push/secret-scan.js'
import { findSecrets, secretFile } from '../../../src/hub/push/secrets.js'
import { noise } from '../../support/hub/folder.js'

const test = suite('hub: secrets')

/** Letters and digits in no order, so that no line of this file is a secret itself. */
const some = (length: number) =>
  'q7Rk2ZpX9mTfB4vYcL6wHsNd3JgK8aUeQ5tVxM1bPyDr0CzE'.repeat(4).slice(0, length)
const hex = (length: number) => '3fa9c07be15d8246'.repeat(8).slice(0, length)
const jwt = ['eyJhbGciOiJIUzI1NiJ9', 'eyJzdWIiOiIxMjM0NTY3ODkw', some(43)].join('.')

const shapes: [what: RegExp, text: string][] = [
  [/Hugging Face/, `hf_${some(34)}`],
  [/Hugging Face/, `api_org_${some(34)}`],
  [/AWS/, `AKIA${'QW3RT7UPA5DFGHJK'}`],
  [/secret key of AWS/, `aws_secret_access_key = ${some(40)}`],
  [/secret key of AWS/, `{"AccessKeyId": "x", "SecretAccessKey": "${some(40)}"}`],
  [/private key/, '-----BEGIN OPENSSH PRIVATE KEY-----'],
  [/private key/, '{"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIE'],
  [/GitHub/, `ghp_${some(36)}`],
  [/GitLab/, `glpat-${some(20)}`],
  [/OpenAI/, `sk-${some(20)}T3BlbkFJ${some(20)}`],
  [/API key/, `sk-proj-${some(60)}`],
  [/API key/, `sk-ant-api03-${some(90)}`],
  [/API key/, `sk-${hex(32)}`],
  [/Weights & Biases/, `WANDB_API_KEY=${hex(40)}`],
  [/Weights & Biases/, `wandb.login(key="${hex(40)}")`],
  [/Weights & Biases/, `os.environ["WANDB_API_KEY"] = "${hex(40)}"`],
  [/Weights & Biases/, `machine api.wandb.ai login user password ${hex(40)}`],
  [/Slack/, `xoxb-123456789012-${some(24)}`],
  [/Slack/, `https://hooks.slack.com/services/T01234567/B01234567/${some(24)}`],
  [/Stripe/, `sk_live_${some(24)}`],
  [/JWT/, jwt],
  [/password/, `postgres://user:${some(10)}@db.internal:5432/x`],
  [/password/, `mongodb+srv://user:${some(10)}@cluster.mongodb.net/x`],
  [/password/, `redis://:${some(10)}@10.0.0.1`],
  [/password/, `https://me:${some(10)}@host.org/an/example/of.git`],
  [/Google/, `AIza${some(35)}`],
  [/npm/, `npm_${some(36)}`],
  [/PyPI/, `pypi-AgE${some(60)}`],
  [/SendGrid/, `SG.${some(22)}.${some(43)}`],
  [/Kaggle/, `{"username":"me","key":"${hex(32)}"}`],
  [/Groq/, `gsk_${some(52)}`],
]

const placesIn = (bytes: Uint8Array, own: string[] = [], size = 1 << 20) => {
  const scan = scanSecrets(own)
  for (let at = 0; at < bytes.length; at += size) scan.look(bytes.subarray(at, at + size))
  return scan.end()
}

test('each by the shape that its service gives it: in texts, in UTF-16, in weights', () => {
  for (const [what, text] of shapes) {
    const around = `one\ntwo, "${text}" three\n`
    assert.match(findSecrets(around)[0]?.what ?? 'none', what, text)
    const [plain] = placesIn(Buffer.from(around))
    assert.match(plain?.what ?? 'none', what, text)
    assert.is(plain?.place, 'line 2')
    for (const byteOrder of ['le', 'be'] as const) {
      const wide = Buffer.from(`\ufeff${around}`, 'utf16le')
      const [found] = placesIn(byteOrder === 'le' ? wide : wide.swap16())
      assert.match(found?.what ?? 'none', what, `${text} in UTF-16 ${byteOrder}`)
    }
    const weights = Buffer.concat([noise(1, 70_001), Buffer.from(`\0${text}\0`), noise(2, 70_000)])
    const [inside] = placesIn(weights, [], 4096)
    assert.match(inside?.what ?? 'none', what, `${text} between weights`)
    assert.match(inside?.place ?? '', /^byte 700\d\d$/)
  }
})

test('what documentation shows is none', () => {
  const texts = [
    'hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
    'AKIAIOSFODNN7EXAMPLE',
    'aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    'https://user:password@host.org and postgres://user:{{PASSWORD}}@host/db, http://a:<pass>@b',
    'https://user:$PASSWORD@host.org, redis://:changeme@x',
    'git+ssh://git@github.com:owner/repo.git http://localhost:8080/@scope/x',
    'sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
    `a commit is ${hex(40)}, a hash ${hex(64)}`,
    'task-completion-is-a-very-long-word-with-hyphens',
  ]
  for (const text of texts) assert.equal(findSecrets(text), [], text)
})

test('the own token is found wherever it is, and called so', () => {
  const own = `my-${some(20)}`
  const what = 'the token that you are signed in with'
  const safetensors = Buffer.concat([
    Buffer.from([80, 0, 0, 0, 0, 0, 0, 0]),
    Buffer.from(`{"__metadata__":{"from":"${own}"}}`),
    noise(3, 300_000),
  ])
  assert.is(placesIn(safetensors, [own])[0]?.what, what)
  assert.is(placesIn(Buffer.from(`GGUF\0\0\u0014\0\0${own}`, 'latin1'), [own])[0]?.what, what)
  // Between letters, in UTF-16, and over the end of each piece that is read.
  assert.is(placesIn(Buffer.from(`한국어${own}한국어`), [own])[0]?.what, what)
  assert.is(placesIn(Buffer.from(`한국어${own}한국어`, 'utf16le'), [own])[0]?.what, what)
  for (const at of [0, 32_758, 32_768, 65_530, 99_000]) {
    const bytes = Buffer.alloc(100_000, 'a b\n')
    bytes.write(own, at)
    const found = placesIn(bytes, [own], 16_384)
    assert.is(found.length, 1)
    assert.is(found[0]?.place, `line ${1 + Math.floor(at / 4)}`)
  }
})

test('a secret is found once, and nothing is made one by where a piece ends', () => {
  const token = `hf_${some(34)}`
  for (const at of [16_000, 16_384, 16_640, 32_760, 49_000]) {
    const bytes = Buffer.alloc(70_000, ' ')
    bytes.write(token, at)
    assert.is(placesIn(bytes, [], 5000).length, 1, String(at))
    // Within a longer word it is no token, also where only its end is in the next piece.
    bytes.write('x', at - 1)
    assert.is(placesIn(bytes, [], 5000).length, 0, String(at))
  }
})

test('30,000 hits and megabytes of what it may look like take no time', () => {
  const size = 1024 * 1024
  const texts = [
    `ghp_${some(36)}\n`.repeat(30_000),
    ...[
      ' ',
      'a',
      hex(16),
      '-eyJ',
      'eyJ.',
      '://a:',
      'https://',
      'sk-',
      'sk-a',
      'hf_',
      ':',
      '"key"',
      'SG.',
      'xoxb-',
      'aws_secret_access_key ',
      'wandb ',
      '-----BEGIN ',
      'AIza',
      '"username" : "',
    ].map((text) => text.repeat(size / text.length)),
    `a.eyJ${'-eyJaaaaaaaaaaaa'.repeat(50_000)}`,
    `T3BlbkFJ${'sk-aaaaaaaaaaaa-'.repeat(50_000)}`,
  ]
  const began = performance.now()
  const [first] = texts.map((text) => placesIn(Buffer.from(text)))
  assert.ok((first?.length ?? 0) >= 1000)
  assert.ok(performance.now() - began < 10_000, `${performance.now() - began} ms`)
})

test('a token of one’s own is found whatever it is made of, and among whatever bytes', () => {
  const own = 'clé-of-mine-ß'
  const among = Buffer.concat([noise(9, 5000), Buffer.from(own), noise(10, 300)])
  assert.equal(
    placesIn(among, [own]).map(({ place }) => place),
    ['byte 5000'],
  )
  assert.equal(placesIn(noise(9, 5000), [own]), [])
})

test('weights are looked through as fast as they are read', () => {
  const bytes = noise(5, 1 << 20)
  const scan = scanSecrets(['not there'])
  const began = performance.now()
  for (let i = 0; i < 16; i++) scan.look(bytes)
  assert.equal(scan.end(), [])
  assert.ok(performance.now() - began < 1000, `${performance.now() - began} ms for 16 MiB`)
})

test('files that are there to hold secrets, however they are written', () => {
  const names = [
    ...[
      '.env',
      '.ENV',
      '.Env.local',
      'prod.env',
      '.git/config',
      '.GIT/config',
      'a/.netrc',
      'key.pem',
    ],
    ...[
      'server.key',
      'SERVER.KEY',
      'kaggle.json',
      'credentials.json',
      'Credentials.json',
      'a/b/id_rsa',
    ],
    ...[
      'client_secret_123.json',
      'service-account.json',
      '.aws/credentials',
      '.kaggle/x',
      'secrets.yaml',
    ],
  ]
  for (const name of names) assert.ok(secretFile(name), name)
  for (const name of [
    ...[
      '.env.example',
      'tokenizer.json',
      'special_tokens_map.json',
      'monkey',
      'keys.json',
      'a.keys',
    ],
    ...['environment.yml', '.gitattributes', 'model.safetensors.index.json'],
  ]) {
    assert.is(secretFile(name), undefined, name)
  }
})

test.run()
