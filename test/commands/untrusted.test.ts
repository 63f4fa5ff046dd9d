import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { OpenLlamaCommand } from '../../src/cli/command.js'
import Card from '../../src/commands/card.js'
import Check from '../../src/commands/check.js'
import Convert from '../../src/commands/convert.js'
import Diff from '../../src/commands/diff.js'
import GgufSet from '../../src/commands/gguf/set.js'
import Inspect from '../../src/commands/inspect.js'
import Pull from '../../src/commands/pull.js'
import Push from '../../src/commands/push.js'
import TokenizerCheck from '../../src/commands/tokenizer/check.js'
import TokenizerConvert from '../../src/commands/tokenizer/convert.js'
import { modelEntries, modelTensors, rawGguf, text } from '../support/gguf.js'
import { startSession } from '../support/hub/session.js'
import { inProcess } from '../support/in-process.js'
import { configJson } from '../support/listing.js'
import { small } from '../support/llama.js'
import { fixture } from '../support/paths.js'
import { arrayRecord, arraysOf, streamOf } from '../support/stream.js'
import { tempDir } from '../support/temp.js'
import { zipOf } from '../support/zip.js'

// Text from files and servers is data: whatever stands in it, the terminal gets none of it raw.

const test = suite('commands: untrusted text')

/** A title for the terminal, C1's CSI, a bidi override, a zero width, new lines, a tag. */
const evil = 'e\u001b]0;owned\u0007\u009b31m\u202e\u200b\u2028\r\nforged: line\u{e0041}'
/** As file systems, JSON and headers may hold it: all but NUL and the slash. */
const folder = tempDir()
const place = (...parts: string[]) => join(folder, ...parts)
const write = (name: string, content: string | Uint8Array) => {
  writeFileSync(place(name), content)
  return place(name)
}

const tensors = (names: Record<string, unknown>) => {
  const json = Buffer.from(JSON.stringify(names))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json])
}
const empty = { dtype: 'F32', shape: [0], data_offsets: [0, 0] }
const gguf = (architecture: string, ...more: ReturnType<typeof text>[]) =>
  rawGguf({
    entries: [
      text('general.architecture', architecture),
      ...modelEntries(small).slice(1),
      text('general.name', evil),
      text(evil, evil),
      ...more,
    ],
    tensors: modelTensors(small, 'f32'),
  })

const names = {
  safetensors: write('names.safetensors', tensors({ [evil]: empty })),
  dtype: write('dtype.safetensors', tensors({ a: { ...empty, dtype: evil } })),
  easylm: write(
    'stream',
    Buffer.concat([
      streamOf(arraysOf(small, 'float32')),
      arrayRecord({ key: evil, dtype: 'float32', shape: [1], data: new Uint8Array(4) }),
    ]),
  ),
  torch: write('zip.bin', zipOf([{ name: `${evil}/data.pkl` }, { name: `${evil}2/data.pkl` }])),
  architecture: write('architecture.gguf', gguf(evil)),
  metadata: write('metadata.gguf', gguf('llama')),
  other: write('other.gguf', gguf('llama', text('tokenizer.chat_template', evil))),
}

mkdirSync(place(evil))
mkdirSync(place('config'))
writeFileSync(place('config', 'model.safetensors'), tensors({ a: empty }))
writeFileSync(place('config', 'config.json'), JSON.stringify({ architectures: [evil] }))
mkdirSync(place('two'))
for (const name of [`${evil}1.safetensors`, `${evil}2.safetensors`]) {
  writeFileSync(place('two', name), readFileSync(names.safetensors))
}
mkdirSync(place('llama'))
writeFileSync(place('llama', `${evil}.gguf`), gguf('llama'))
writeFileSync(place('llama', 'config.json'), configJson(small))

const cases: [string, Parameters<typeof inProcess>[0], string[], number][] = [
  ['inspect, a name in safetensors', Inspect, [names.safetensors], 3],
  ['inspect, a dtype in safetensors', Inspect, [names.dtype], 3],
  ['inspect, a key in EasyLM', Inspect, [names.easylm], 3],
  ['inspect, an entry of an archive', Inspect, [names.torch], 3],
  ['inspect, an architecture in GGUF', Inspect, [names.architecture], 0],
  ['inspect, metadata in GGUF', Inspect, [names.metadata, '--tensors'], 0],
  ['inspect, an architecture in config.json', Inspect, [place('config')], 3],
  ['inspect, the names of files', Inspect, [place('two')], 3],
  ['inspect, a file that is not there', Inspect, [place(evil, 'none')], 3],
  ['convert', Convert, [names.easylm, '--to', 'gguf', '--out', place('a.gguf')], 3],
  ['convert --dry-run', Convert, [names.metadata, '--to', 'safetensors', '--dry-run', '--out', place(evil, 'out')], 0], // biome-ignore format: one line a case
  ['convert, what it wrote', Convert, [names.metadata, '--to', 'gguf', '--no-check', '--out', place(evil, 'b.gguf')], 0], // biome-ignore format: one line a case
  ['check', Check, [names.architecture], 3],
  ['diff', Diff, [names.metadata, names.architecture], 3],
  ['gguf set', GgufSet, [names.metadata, `${evil}=x`, '--dry-run'], 2],
  ['card', Card, [place('config'), '--license', 'mit', '--out', place('README.md')], 3],
  ['tokenizer check, of a GGUF without a vocabulary', TokenizerCheck, [place(evil)], 3],
  [
    'tokenizer convert',
    TokenizerConvert,
    [place(evil), '--to', 'tokenizer.json', '--out', place('tokenizer')],
    3,
  ],
]

for (const [what, command, argv, code] of cases) {
  test(what, async () => {
    const printed = await inProcess(command, argv)
    assert.is(printed.code, code, printed.stderr)
    holds(printed.stdout + printed.stderr)
    assert.match(printed.stdout + printed.stderr, /e\\(x1b|u001b)\]0;owned\\/)
  })

  test(`${what}, as JSON`, async () => {
    if (what.includes('wrote')) return
    const { stdout, stderr } = await inProcess(command, [...argv, '--json'])
    holds(stdout + stderr)
    assert.ok(JSON.stringify(JSON.parse(stdout)).length > 2)
  })
}

test('what a package says on the console', async () => {
  class Warns extends OpenLlamaCommand {
    async run(): Promise<object> {
      await this.parse(Warns)
      console.warn('pattern:', evil, { [evil]: evil })
      return {}
    }
  }
  const { stdout, stderr } = await inProcess(Warns, [])
  holds(stdout + stderr)
  assert.match(stderr, 'warning: pattern: e\\x1b]0;owned')
  assert.is((await inProcess(Warns, ['--json'])).stdout, '{}\n')
})

test('pull and push, what a Hub answers and has', async () => {
  const { hub, env } = await startSession()
  Object.assign(process.env, env)
  try {
    await hub.commit('tester/tiny', { [`${evil}.txt`]: 'a', 'config.json': '{}' })
    const out = place('pulled')
    for (const argv of [['tester/tiny'], ['tester/tiny', '--out', out]]) {
      const { stdout, stderr } = await inProcess(Pull, argv)
      holds(stdout + stderr)
      assert.match(stdout + stderr, /e\\(x1b|u001b)\]0;owned/)
    }
    mkdirSync(place('published'))
    writeFileSync(place('published', 'README.md'), '---\nlicense: mit\n---\n# A\n')
    writeFileSync(place('published', 'tokenizer.model'), readFileSync(fixture('tiny-v1', 'easylm', 'tokenizer.model'))) // biome-ignore format: one line
    for (const command of [Pull, Push]) {
      hub.faults.push({ on: 'info', status: 403, body: JSON.stringify({ error: evil }), times: 9 })
      hub.faults.push({ on: 'tree', status: 403, body: JSON.stringify({ error: evil }), times: 9 })
      const argv = command === Pull ? ['tester/tiny'] : [place('published'), 'tester/tiny']
      const { code, stdout, stderr } = await inProcess(command, argv)
      assert.ok(code !== 0)
      holds(stdout + stderr)
    }
  } finally {
    await hub.close()
  }
})

test.run()

/** Lines are ours, and nothing else that is not seen. */
function holds(printed: string): void {
  const raw = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.exec(printed)
  assert.is(raw, null, `${JSON.stringify(raw?.[0])} in ${JSON.stringify(printed)}`)
  assert.not.match(printed, /^forged/m)
}
