import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from './support/paths.js'

const test = suite('rooms')

/** Each room, and the rooms that it may import. They stand in one order: a room sees those above. */
const rooms: Record<string, string> = {
  io: '',
  'version.ts': 'io',
  types: 'io',
  record: 'io types',
  architectures: '',
  kernels: 'io types',
  checkpoint: 'io types architectures',
  tokenizer: 'io checkpoint record',
  quantize: 'io types checkpoint',
  graph: 'types architectures checkpoint',
  formats: 'io version.ts types architectures checkpoint tokenizer quantize graph record',
  open: 'io types checkpoint tokenizer quantize formats',
  engines: 'io version.ts types checkpoint tokenizer graph formats record',
  convert:
    'io version.ts types architectures kernels checkpoint tokenizer quantize formats open record',
  compare: 'io types architectures checkpoint tokenizer engines record convert',
  check:
    'io version.ts types checkpoint tokenizer quantize formats open engines record convert compare',
  card: 'io types architectures checkpoint tokenizer formats open record convert',
  hub: 'io record convert card',
  library: 'io checkpoint tokenizer formats open engines convert compare check hub',
  'index.ts': 'io checkpoint formats open engines record convert check card library',
  cli: 'io architectures checkpoint tokenizer formats engines record convert compare check card hub library',
  commands: 'io types tokenizer quantize formats open engines convert check card library cli',
}

const source = join(root, 'src')
const roomOf = (file: string) => relative(source, file).split(sep)[0] ?? ''

/** What the files of each room import of others. */
function imports(): { file: string; from: string; to: string }[] {
  return readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => {
      const file = join(source, name)
      const text = readFileSync(file, 'utf8')
      const paths = [...text.matchAll(/(?:\bfrom|\bimport\(|^import)\s*'(\.[^']*)'/gm)]
      return paths.map(([, path = '']) => ({
        file: name,
        from: roomOf(file),
        to: roomOf(join(dirname(file), path.replace(/\.js$/, '.ts'))),
      }))
    })
    .filter(({ from, to }) => from !== to)
}

test('imports of rooms are those of the table', () => {
  const found = imports()
  assert.ok(found.length > 300)
  const wrong = found.filter(({ from, to }) => !(rooms[from] ?? '').split(' ').includes(to))
  assert.equal(wrong.map(({ file, to }) => `${file} imports ${to}`).sort(), [])
})

test('the table points one way', () => {
  const order = Object.keys(rooms)
  for (const [i, [room, imported]] of Object.entries(rooms).entries()) {
    for (const each of imported.split(' ').filter((name) => name !== ''))
      assert.ok(order.indexOf(each) >= 0 && order.indexOf(each) < i, `${room} imports ${each}`)
  }
})

test.run()
