// Cards, and the examples in them: read by huggingface_hub, and run as they stand, both in the card's
// folder and, for a repository, from an empty one against the tests' Hub.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { startHub } from './hub.js'
import { check, convert, openllama, report, temporary } from './session.js'

const evals = ['old', 'new'].map((name) => `test/fixtures/lm-eval/${name}.json`)
const realResults = join('..', 'shared', 'real', 'lm-eval')

/** What a model is published as, by the names of folders. */
const published = {
  f16: ['--to', 'safetensors', '--dtype', 'f16'],
  pytorch: ['--to', 'pytorch'],
  easylm: ['--to', 'easylm'],
  flax: ['--to', 'flax'],
  'meta-2': ['--to', 'meta', '--model-parallel', '2'],
  'onnx-f32': ['--to', 'onnx', '--dtype', 'f32'],
  'onnx-q8': ['--to', 'onnx', '--dtype', 'q8'],
  'onnx-q4': ['--to', 'onnx', '--dtype', 'q4'],
  'onnx-q4f16': ['--to', 'onnx', '--dtype', 'q4f16'],
  gguf: ['--to', 'gguf', '--dtype', 'q4_k_m'],
}

/** The card of a release, with all that is known of it: of weights of its shapes, that are not there. */
export function checkReleaseCard([python]) {
  const folder = join(temporary, 'cards', 'release', 'easylm')
  mkdirSync(folder, { recursive: true })
  const made = ['--import', 'tsx', 'scripts/make-checkpoint.ts', 'open_llama_3b_v2']
  const file = join(folder, 'streaming_params')
  const { status, stderr } = spawnSync(process.execPath, [...made, file, '--sparse'])
  if (status !== 0) throw new Error(String(stderr))
  const given = evals.flatMap((each) => ['--eval', each])
  openllama(['card', folder, '--model', 'open_llama_3b_v2', ...given])
  check(python, 'check_cards.py', '--no-examples', folder)
}

/** Cards of a fixture in every format. */
export async function checkCards([python, older], model) {
  const folders = Object.entries(published).map(([name, args]) =>
    convert(model, join(temporary, 'cards', model, name), ...args),
  )
  const real = ['openlm-research-open_llama_3b_v2.json', 'results_2024-06-03T01-54-41.753933.json']
    .map((name) => join(realResults, name))
    .filter(existsSync)
  if (real.length === 0) console.log(`skipped, ${realResults} is not there: cards of real results`)
  const log = join(temporary, 'loss.csv')
  writeFileSync(log, 'step,loss\n1,9.5\n2,5.25\n3,4\n')
  folders.forEach((folder, i) => {
    openllama(['card', folder])
    const all = i % 2 === 0 || real.length === 0 ? evals : real
    const given = all.flatMap((file) => ['--eval', file])
    // Twice: over a card that is there.
    openllama(['card', folder, '--license', 'apache-2.0', ...given, '--loss', log])
  })
  const home = join(temporary, 'cards-home', model)
  // llama.cpp reads one page of a listing; the Hub's have a thousand files.
  const hub = await startHub(home, 1000)
  try {
    const endpoint = ['--endpoint', hub.env.HF_ENDPOINT]
    const withTransformers = folders.filter((folder) => /[\\/](f16|pytorch)$/.test(folder))
    check(python, 'check_cards.py', ...endpoint, ...folders)
    check(older, 'check_cards.py', ...withTransformers)
    link(join(temporary, 'cards'))
    for (const folder of folders) {
      runScripts(folder, folder, {})
      runCommands(folder, folder, {})
    }
    // What a reader of the page copies: nothing is in the folder where it is run.
    const empty = join(home, 'empty')
    mkdirSync(empty, { recursive: true })
    link(empty)
    const remote = join(home, 'remote.mjs')
    writeFileSync(remote, remoteHub(join(home, 'transformers.js')))
    link(home)
    for (const folder of folders) {
      const repository = `tester/${basename(dirname(folder))}-${basename(folder)}`
      openllama(['card', folder, '--repo', repository])
      openllama(['push', folder, repository, '--create', '--unchecked'], hub.env)
      const node = { NODE_OPTIONS: `--import ${remote}` }
      runScripts(folder, empty, { ...hub.env, ...node })
      runCommands(folder, empty, { ...hub.env, LLAMA_CACHE: join(home, 'llama.cpp') })
    }
    const elsewhere = [...endpoint, '--elsewhere']
    check(python, 'check_cards.py', { env: hub.env }, ...elsewhere, ...folders)
    check(older, 'check_cards.py', { env: hub.env }, ...elsewhere, ...withTransformers)
  } finally {
    hub.stop()
  }
}

/** Our packages, for scripts that are run in a folder. */
function link(folder) {
  const modules = join(folder, 'node_modules')
  if (!existsSync(modules)) symlinkSync(resolve('node_modules'), modules)
}

/** transformers.js knows its Hub only by its own settings. */
function remoteHub(cache) {
  return `import { env } from '@huggingface/transformers'
env.remoteHost = process.env.HF_ENDPOINT + '/'
env.cacheDir = ${JSON.stringify(cache)}
`
}

function examples(folder, language) {
  const card = readFileSync(join(folder, 'README.md'), 'utf8')
  const blocks = card.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))
  return [...blocks].map(([, example]) => example)
}

function runScripts(folder, cwd, env) {
  for (const example of examples(folder, 'js')) {
    const script = ['--input-type=module', '-e', example]
    const { status, stdout, stderr } = run(process.execPath, script, cwd, env)
    const said = stdout.trim().split('\n')[0]
    const where = cwd === folder ? 'in its folder' : 'from the Hub'
    const what = `transformers.js ${basename(dirname(folder))}/${basename(folder)} ${where}`
    report(status === 0 && said !== '', `${what}: ${status === 0 ? `"${said}"` : stderr}`)
  }
}

/** The commands of llama.cpp, where that is installed; EasyLM's need a machine of their own. */
function runCommands(folder, cwd, env) {
  for (const example of examples(folder, 'sh')) {
    if (!example.startsWith('llama-completion ')) continue
    const what = `llama.cpp ${basename(dirname(folder))}/${basename(folder)}`
    if (run('llama-completion', ['--version'], cwd, env).error !== undefined) {
      if (cwd !== folder) continue
      // The same library at least, and the same file.
      const [, file] = /^llama-completion -m (\S+)/.exec(example) ?? []
      const { smoke } = JSON.parse(openllama(['check', join(folder, file), '--json']))
      console.log('skipped, llama-completion is not there: its example as it stands')
      report(smoke.continuation.trim() !== '', `${what} in node-llama-cpp: "${smoke.continuation}"`)
      continue
    }
    const { status, stdout, stderr } = run('sh', ['-c', example], cwd, env)
    const said = stdout.trim().split('\n')[0]
    report(status === 0 && said !== '', `${what}: ${status === 0 ? `"${said}"` : stderr}`)
  }
}

function run(program, args, cwd, env) {
  // Programs that could wait for somebody's answer get none.
  const options = { cwd, encoding: 'utf8', env: { ...process.env, ...env }, input: '' }
  return spawnSync(program, args, options)
}
