import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { configJson } from '../support/listing.js'
import { fixture } from '../support/paths.js'
import { makeSparse } from '../support/sparse.js'
import { openllama } from './in-process.js'

/** A command that calls to the file system are made to fail in. */
export interface Scenario {
  name: string
  /** How often it is drawn, beside the others. */
  weight: number
  /** Makes the folder that it works in, once. */
  prepare(folder: string): Promise<void> | void
  args(folder: string): readonly string[]
  /** The command with which an interrupted run is gone on from, where it is not the same. */
  again?(folder: string): readonly string[]
  env?(folder: string): Record<string, string>
  /** Paths of what a failed run may leave: the work that the next one goes on from. */
  scratch?: RegExp
  /** What is there where a change is to be undone: until then no command takes what it changes. */
  undo?: RegExp
  /** What it writes appears together; else file by file. */
  together: boolean
  /** What is prepared knows the files by their numbers and times: it cannot be a copy. */
  fresh?: boolean
  /** Paths that differ from run to run. */
  ignored?: RegExp
}

function copyTiny(folder: string): void {
  mkdirSync(join(folder, 'src'))
  const tiny = (...parts: string[]) => fixture('tiny-v2', ...parts)
  cpSync(tiny('easylm', 'streaming_params_bf16'), join(folder, 'src', 'params'))
  cpSync(tiny('easylm', 'tokenizer.model'), join(folder, 'src', 'tokenizer.model'))
  cpSync(tiny('config.json'), join(folder, 'src', 'config.json'))
}

async function made(folder: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await openllama(args)
  if (code !== 0) throw new Error(`${args.join(' ')}: ${code}\n${stderr}`)
  if (!existsSync(folder)) throw new Error(`${folder} was not made`)
}

function conversion(name: string, to: string, out: string, ...more: string[]): Scenario {
  const args = (folder: string) => [
    'convert',
    join(folder, 'src', 'params'),
    ...['--to', to, '--out', join(folder, out), '--no-check', '--sha256', ...more],
  ]
  return {
    name,
    weight: 2,
    prepare: copyTiny,
    args,
    again: (folder) => [
      ...args(folder).filter((arg) => arg !== '--force'),
      existsSync(join(folder, `${out}.partial`)) ? '--resume' : '--force',
    ],
    scratch: new RegExp(`^${out.replace('.', '\\.')}\\.(partial|lock|openllama\\.lock)`),
    together: true,
  }
}

/** The same where an older output of another type is there. */
function replacement(name: string, to: string, out: string, ...more: string[]): Scenario {
  const base = conversion(name, to, out, ...more, '--force')
  return {
    ...base,
    async prepare(folder) {
      copyTiny(folder)
      await made(join(folder, out), ...base.args(folder), '--dtype', 'f32')
    },
    again: base.args,
    scratch: new RegExp(`${base.scratch?.source}|\\.replaced-`),
  }
}

const resumed = conversion('convert --resume', 'safetensors', 'out', '--dtype', 'f16')

export const scenarios: Scenario[] = [
  conversion('convert to safetensors', 'safetensors', 'out', '--max-shard-size', '1MB'),
  conversion('convert to pytorch', 'pytorch', 'out', '--dtype', 'f16'),
  conversion('convert to gguf', 'gguf', 'out.gguf', '--dtype', 'q8_0'),
  conversion('convert to onnx', 'onnx', 'out', '--dtype', 'q4'),
  conversion('convert to easylm', 'easylm', 'out'),
  conversion('convert to meta', 'meta', 'out', '--model-parallel', '2'),
  replacement('convert over a folder', 'safetensors', 'out'),
  replacement('convert over a file', 'gguf', 'out.gguf'),
  {
    ...resumed,
    fresh: true,
    async prepare(folder) {
      copyTiny(folder)
      const args = resumed.args(folder)
      const { code } = await openllama(args, { failing: join(folder, 'out.partial') })
      if (code !== 6) throw new Error(`the run that was to fail ended with ${code}`)
    },
    args: (folder) => [...resumed.args(folder), '--resume'],
  },
  {
    ...conversion('convert in threads', 'safetensors', 'out', '--threads', '2', '--dtype', 'f16'),
    weight: 1,
    async prepare(folder) {
      mkdirSync(join(folder, 'src'))
      const size = { vocab: 4000, hidden: 1024, intermediate: 2048, layers: 1 }
      const model = { ...size, heads: 8, kvHeads: 8, headDim: 128 }
      await makeSparse(join(folder, 'src', 'params'), model, 'f32')
      writeFileSync(join(folder, 'src', 'config.json'), configJson(model))
    },
  },
  {
    name: 'tokenizer convert',
    weight: 1,
    prepare: copyTiny,
    args: (folder) => [
      ...['tokenizer', 'convert', join(folder, 'src'), '--to', 'tokenizer.json'],
      ...['--out', join(folder, 'fixed'), '--force'],
    ],
    together: false,
  },
  {
    name: 'gguf set in place',
    weight: 1,
    prepare: (folder) => makeGguf(folder),
    args: (folder) => ['gguf', 'set', join(folder, 'model.gguf'), 'general.name=another'],
    scratch: /\.(undo|before)$/,
    undo: /\.undo$/,
    together: true,
    ignored: /\.openllama\.lock/,
  },
  {
    name: 'gguf set that moves the weights',
    weight: 1,
    prepare: (folder) => makeGguf(folder),
    args: (folder) => [
      ...['gguf', 'set', join(folder, 'model.gguf')],
      `general.description=${'long '.repeat(100)}`,
    ],
    scratch: /\.(undo|before)$/,
    undo: /\.undo$/,
    together: true,
    ignored: /\.openllama\.lock/,
  },
  {
    name: 'card',
    weight: 1,
    prepare: makeOutput,
    args: (folder) => ['card', join(folder, 'out'), '--license', 'apache-2.0'],
    together: false,
  },
  {
    name: 'diff',
    weight: 1,
    prepare: makeOutput,
    args: (folder) => ['diff', join(folder, 'src', 'params'), join(folder, 'out')],
    together: true,
  },
  {
    name: 'inspect',
    weight: 1,
    prepare: makeOutput,
    args: (folder) => ['inspect', join(folder, 'out'), '--tensors'],
    together: true,
  },
  {
    name: 'tokenizer check',
    weight: 1,
    prepare(folder) {
      copyTiny(folder)
      writeFileSync(join(folder, 'corpus.txt'), 'some lines\nof text\n'.repeat(100))
    },
    args: (folder) => [
      ...['tokenizer', 'check', join(folder, 'src'), '--corpus', join(folder, 'corpus.txt')],
    ],
    together: true,
  },
  {
    name: 'check --record --report',
    weight: 0.5,
    prepare: makeOutput,
    args: (folder) => [
      ...['check', join(folder, 'out'), '--against', join(folder, 'src', 'params'), '--record'],
      ...['--positions', '8', '--tokens', '2', '--threads', '1'],
      ...['--report', join(folder, 'report.html')],
    ],
    together: false,
    // Seconds and tokens per second.
    ignored: /^report\.html$/,
  },
  {
    name: 'convert, checked',
    weight: 0.5,
    prepare: copyTiny,
    args: (folder) => [
      ...['convert', join(folder, 'src', 'params'), '--to', 'safetensors'],
      ...['--out', join(folder, 'out'), '--threads', '1', '--dtype', 'f16'],
    ],
    again: (folder) => [
      ...['convert', join(folder, 'src', 'params'), '--to', 'safetensors'],
      ...['--out', join(folder, 'out'), '--threads', '1', '--dtype', 'f16', '--force'],
    ],
    scratch: /^out\.(partial|lock)/,
    together: true,
  },
]

async function makeGguf(folder: string): Promise<void> {
  copyTiny(folder)
  const args = ['--to', 'gguf', '--no-check', '--out', join(folder, 'model.gguf')]
  await made(join(folder, 'model.gguf'), 'convert', join(folder, 'src', 'params'), ...args)
}

async function makeOutput(folder: string): Promise<void> {
  copyTiny(folder)
  const args = ['--to', 'safetensors', '--no-check', '--sha256', '--out', join(folder, 'out')]
  await made(join(folder, 'out'), 'convert', join(folder, 'src', 'params'), ...args)
}

/** Scenarios with the tests' own Hub, whose address they need. */
export function hubScenarios(env: (folder: string) => Record<string, string>): Scenario[] {
  return [
    {
      name: 'pull',
      weight: 1,
      prepare: () => {},
      args: (folder) => ['pull', 'tester/tiny', '--out', join(folder, 'out')],
      env,
      scratch: /^home\/|\.(incomplete|lock)$|\.partial/,
      ignored: /^home\//,
      together: false,
    },
    {
      name: 'push',
      weight: 1,
      prepare(folder) {
        mkdirSync(join(folder, 'model'))
        const weights = readFileSync(fixture('tiny-v1', 'easylm', 'streaming_params_bf16'))
        writeFileSync(join(folder, 'model', 'params'), weights)
        writeFileSync(join(folder, 'model', 'README.md'), '---\nlicense: mit\n---\n# Model\n')
      },
      args: (folder) => [
        ...['push', join(folder, 'model'), `tester/new-${process.pid}-${turn++}`],
        ...['--create', '--unchecked'],
      ],
      env,
      scratch: /^home\//,
      ignored: /^home\//,
      together: true,
    },
    {
      name: 'convert from the Hub',
      weight: 1,
      prepare: () => {},
      args: (folder) => [
        ...['convert', 'hf://tester/tiny/streaming_params', '--to', 'safetensors', '--no-check'],
        ...['--out', join(folder, 'out'), '--force'],
      ],
      env,
      scratch: /^home\/|^out\.(partial|lock)/,
      ignored: /^home\//,
      together: true,
    },
  ]
}

let turn = 0
