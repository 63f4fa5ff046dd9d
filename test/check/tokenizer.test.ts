import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { compareTokenizers, readTextTokenizer } from '../../src/check/text-tokenizer.js'
import type { MetadataEntry } from '../../src/checkpoint/metadata.js'
import { describeDiff } from '../../src/cli/difference.js'
import { diffCheckpoints } from '../../src/compare/diff.js'
import { openCheckpoint } from '../../src/open/open.js'
import { makeSource } from '../support/conversion.js'
import { convert } from '../support/convert.js'
import { small } from '../support/llama.js'
import { fixture } from '../support/paths.js'
import { modelPath } from '../support/tokenizers.js'

const test = suite('check: the tokenizer')

/** A checkpoint with this tokenizer, and a GGUF that was made of it. */
async function pair(file: string, path: string) {
  const made = makeSource({ ...small, vocab: 512 })
  writeFileSync(join(made.folder, 'in', file), readFileSync(path))
  if (file === 'tokenizer.json') {
    const named = JSON.stringify({ bos_token: '<|begin_of_text|>', eos_token: '<|end_of_text|>' })
    writeFileSync(join(made.folder, 'in', 'tokenizer_config.json'), named)
  }
  await convert(made.source, `${made.out}.gguf`, { to: 'gguf' })
  // As downloaded: without the record, which says that spaces are merged.
  rmSync(`${made.out}.gguf.openllama.json`)
  return {
    source: await openCheckpoint(made.source),
    artifact: await openCheckpoint(`${made.out}.gguf`),
  }
}

const sentencePiece = await pair('tokenizer.model', modelPath('tiny-v2'))
const merging = await pair('tokenizer.model', modelPath('tiny-v1'))
const byteLevel = await pair('tokenizer.json', fixture('tokenizer', 'byte-level.json'))

/** What the check says of a GGUF whose metadata were changed. */
async function judge(
  { source, artifact }: typeof sentencePiece,
  change: (entry: MetadataEntry) => MetadataEntry | undefined,
  more: readonly MetadataEntry[] = [],
) {
  const kept = (artifact.metadata ?? []).map(change).filter((entry) => entry !== undefined)
  const changed = { ...artifact, metadata: [...kept, ...more] }
  const ids = Object.fromEntries(
    ['bos', 'eos'].flatMap((role) => {
      const entry = changed.metadata.find(({ key }) => key === `tokenizer.ggml.${role}_token_id`)
      return typeof entry?.value === 'number' ? [[`${role}_token_id`, entry.value]] : []
    }),
  )
  const config = { ...changed.config, ...ids }
  return compareTokenizers(
    await readTextTokenizer({ ...changed, config }),
    await readTextTokenizer(source),
    'a text',
  )
}

const same = (entry: MetadataEntry) => entry
const flag = (key: string, value: boolean): MetadataEntry => ({
  key: `tokenizer.ggml.${key}`,
  type: 'bool',
  value,
})

test('what was converted has no fault', async () => {
  assert.equal(await judge(sentencePiece, same), { faults: [], notes: [] })
  assert.equal(await judge(byteLevel, same), { faults: [], notes: [] })
  // Only here is the note true.
  const { faults, notes } = await judge(merging, same)
  assert.equal(faults, [])
  assert.match(notes.join(), /a GGUF cannot say that spaces are merged/)
})

const changes: readonly {
  what: string
  of: typeof sentencePiece
  change?: (entry: MetadataEntry) => MetadataEntry
  more?: MetadataEntry[]
  says: RegExp
}[] = [
  {
    what: 'scores reversed',
    of: sentencePiece,
    change: (entry) =>
      entry.type === 'float32[]'
        ? { ...entry, value: Float32Array.from(entry.value, (score) => -score) }
        : entry,
    says: /the scores put \d+ of \d+ pieces in another order: ".*" and ".*" have/,
  },
  {
    what: 'all scores alike',
    of: sentencePiece,
    change: (entry) =>
      entry.type === 'float32[]'
        ? { ...entry, value: Float32Array.from(entry.value, () => -1000) }
        : entry,
    says: /the scores put \d+ of \d+ pieces in another order/,
  },
  {
    what: 'scores reversed where spaces are merged',
    of: merging,
    change: (entry) =>
      entry.type === 'float32[]'
        ? { ...entry, value: Float32Array.from(entry.value, (score) => -score) }
        : entry,
    says: /the scores put/,
  },
  {
    what: 'types',
    of: sentencePiece,
    change: (entry) =>
      entry.type === 'int32[]'
        ? { ...entry, value: Int32Array.from(entry.value, (type, id) => (id === 300 ? 4 : type)) }
        : entry,
    says: /1 of 512 tokens are of another type: 300, ".*", is userDefined for normal/,
  },
  {
    what: 'add_space_prefix',
    of: sentencePiece,
    more: [flag('add_space_prefix', false)],
    says: /a space is not put before a text \(add_space_prefix\)/,
  },
  {
    what: 'add_bos_token',
    of: sentencePiece,
    more: [flag('add_bos_token', false)],
    says: /BOS is not put before a text \(add_bos_token\)/,
  },
  {
    what: 'add_eos_token',
    of: sentencePiece,
    more: [flag('add_eos_token', true)],
    says: /EOS is put after a text \(add_eos_token\)/,
  },
  ...[sentencePiece, byteLevel].flatMap((of) =>
    ['bos', 'eos'].map((role) => ({
      what: `${role}_token_id of ${of === byteLevel ? 'a byte-level BPE' : 'SentencePiece'}`,
      of,
      change: (entry: MetadataEntry): MetadataEntry =>
        entry.key === `tokenizer.ggml.${role}_token_id`
          ? { key: entry.key, type: 'uint32', value: 7 }
          : entry,
      says: new RegExp(`its ${role.toUpperCase()} is 7 \\(".*"\\), the source’s \\d+`),
    })),
  ),
  {
    what: 'merges of a byte-level BPE',
    of: byteLevel,
    change: (entry) =>
      entry.key === 'tokenizer.ggml.merges' && entry.type === 'string[]'
        ? { ...entry, value: entry.value.toReversed() }
        : entry,
    says: /merges are others: merge 0 is/,
  },
  {
    what: 'the pre-tokenizer of a byte-level BPE',
    of: byteLevel,
    change: (entry) =>
      entry.key === 'tokenizer.ggml.pre'
        ? { key: entry.key, type: 'string', value: 'gpt-2' }
        : entry,
    says: /its pre-tokenizer is "gpt-2", the source’s "llama-bpe"/,
  },
]

for (const { what, of, change = same, more = [], says } of changes) {
  test(`a fault of the GGUF's vocabulary is named: ${what}`, async () => {
    const { faults } = await judge(of, change, more)
    assert.ok(
      faults.some((fault) => says.test(fault)),
      faults.join('\n') || 'no fault is found',
    )
  })
}

test('diff tells tokenizers apart, too', async () => {
  const options = { maxMemory: 64 * 1024 * 1024 }
  const { source, artifact } = sentencePiece
  const alike = await diffCheckpoints(artifact, source, options)
  assert.equal([alike.same, alike.tokenizer, alike.notes], [true, [], []])
  const metadata = [...(artifact.metadata ?? []), flag('add_bos_token', false)]
  const other = await diffCheckpoints({ ...artifact, metadata }, source, options)
  assert.is(other.same, false)
  assert.match(describeDiff(other), /tokenizer\n {2}BOS is not put before a text/)
})

test.run()
