import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type RunOptions, runConversion } from '../../src/convert/convert.js'
import type { CheckRecord } from '../../src/record/check.js'
import { makeSource, prepare, runOptions } from '../support/conversion.js'
import { fails } from '../support/errors.js'

const test = suite('convert: a source that changes')

const changes: Record<string, (source: string) => void> = {
  'a byte of the weights': (source) => {
    const bytes = readFileSync(source)
    bytes[bytes.length - 3] = 0x3e
    writeFileSync(source, bytes)
  },
  longer: (source) => appendFileSync(source, 'x'),
  exchanged: (source) => {
    copyFileSync(source, `${source}.new`)
    renameSync(`${source}.new`, source)
  },
  removed: (source) => rmSync(source),
}

const passed: CheckRecord = {
  verdict: 'passed',
  engine: 'onnxruntime',
  device: 'cpu',
  smoke: { prompt: '', continuation: '', tokens: 0, faults: [] },
  notes: [],
}

const times: Record<string, (change: () => void) => Partial<RunOptions>> = {
  'before the first tile': (change) => {
    change()
    return {}
  },
  'while tiles are made': (onProgress) => ({ onProgress }),
  'during the check': (change) => ({
    async check() {
      change()
      return passed
    },
  }),
}

for (const [what, change] of Object.entries(changes)) {
  for (const [when, run] of Object.entries(times)) {
    test(`${what}, ${when}: exit 3, and nothing of it is delivered or kept`, async () => {
      const made = makeSource()
      const conversion = await prepare(made)
      let changed = false
      const once = () => {
        if (!changed) change(made.source)
        changed = true
      }
      const options = { ...runOptions, ...run(once) }
      await fails(() => runConversion(conversion, options), 'input', made.source)
      assert.ok(changed)
      assert.not(existsSync(made.out))
      assert.not(existsSync(`${made.out}.partial`))
    })
  }
}

test.run()
