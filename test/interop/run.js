// The live cross-checks: our output in the formats' own software. Needs Python 3; its packages are
// installed on first use. Prints a line a check, and fails if any does.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkCards } from './cards.js'
import { writeCorpus } from './corpus.js'
import { startHub } from './hub.js'
import { pythonWithTransformers4, pythonWithTransformers5 } from './python.js'

const fixtures = 'test/fixtures'
const models = ['tiny-v1', 'tiny-v2']
const temporary = mkdtempSync(join(tmpdir(), 'openllama-interop-'))
/** Fewer for a quick look: CORPUS_LINES=1000. */
const corpusLines = Number(process.env.CORPUS_LINES ?? 100_000)
/** `run.js hub` and `run.js cards` run that part alone. */
const only = process.argv[2]
let passed = 0
let failed = 0

try {
  const pythons = [pythonWithTransformers5(), pythonWithTransformers4()]
  if (only !== 'cards') await checkHub(pythons)
  if (only === undefined) await checkTokenizers(pythons)
  for (const model of only === 'hub' ? [] : models) {
    const source = `${fixtures}/${model}/easylm/streaming_params_bf16`
    const config = `${fixtures}/${model}/config.json`
    const folder = (name) => join(temporary, model, name)
    const to = (name, ...args) => {
      openllama(['convert', source, '--config', config, '--out', folder(name), ...args])
      return folder(name)
    }
    const exact = [
      to('bf16', '--to', 'safetensors'),
      to('f32', '--to', 'safetensors', '--dtype', 'f32'),
      to('sharded', '--to', 'safetensors', '--max-shard-size', '500KB'),
    ]
    const onnx = {
      '1e-4': [to('onnx-f32', '--to', 'onnx', '--dtype', 'f32')],
      '2e-2': [to('onnx-f16', '--to', 'onnx', '--dtype', 'f16')],
      // Rounding to levels moves logits; the answers are what must stay.
      0.2: [to('onnx-q8', '--to', 'onnx', '--dtype', 'q8')],
      2: ['q4', 'q4f16'].map((dtype) => to(`onnx-${dtype}`, '--to', 'onnx', '--dtype', dtype)),
    }
    for (const [limit, folders] of Object.entries(onnx)) {
      check(pythons[0], 'check_onnx.py', limit, `${fixtures}/${model}/expected`, ...folders)
    }
    const quantised = [...onnx[0.2], ...onnx[2]]
    check(pythons[0], 'check_onnx_quantised.py', ...onnx['1e-4'], ...quantised)
    const [python] = pythons
    const expected = `${fixtures}/${model}/expected`
    check(
      python,
      'check_easylm.py',
      expected,
      config,
      join(to('easylm', '--to', 'easylm'), 'streaming_params'),
      join(to('easylm-f32', '--to', 'easylm', '--dtype', 'f32'), 'streaming_params'),
      join(to('flax', '--to', 'flax'), 'params.msgpack'),
    )
    check(
      python,
      'check_pytorch.py',
      expected,
      to('pytorch', '--to', 'pytorch'),
      to('pytorch-sharded', '--to', 'pytorch', '--dtype', 'f32', '--max-shard-size', '500KB'),
      to('meta', '--to', 'meta'),
      to('meta-2', '--to', 'meta', '--model-parallel', '2'),
    )
    const files = ['f32', 'f16', 'bf16', 'q8_0', 'q4_k_m', 'q2_k'].map((dtype) =>
      to(`${dtype}.gguf`, '--to', 'gguf', '--dtype', dtype),
    )
    check(python, 'check_gguf.py', ...files)
    checkParity(python, model, to)
    checkExport(pythons[1], folder('f32'), folder('optimum'))
    const rounded = [to('f16', '--to', 'safetensors', '--dtype', 'f16')]
    for (const python of pythons) {
      check(python, 'check_transformers.py', '1e-4', `${fixtures}/${model}/expected`, ...exact)
      check(python, 'check_transformers.py', '2e-2', `${fixtures}/${model}/expected`, ...rounded)
    }
    const unquantised = ['f16', 'pytorch', 'easylm', 'flax', 'meta-2', 'onnx-f32'].map(folder)
    const cards = [...unquantised, ...quantised, to('gguf', '--to', 'gguf', '--dtype', 'q4_k_m')]
    await checkCards(pythons, cards, temporary, { openllama, check, report })
  }
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
console.log(`interop: ${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

/** The check's figures against transformers' logits: of a model that went through q4_0, in f32. */
function checkParity(python, model, to) {
  const coarse = to('coarse', '--to', 'gguf', '--dtype', 'q4_0')
  const artifact = join(temporary, model, 'coarse-f32')
  openllama(['convert', coarse, '--to', 'safetensors', '--dtype', 'f32', '--out', artifact])
  const source = join(temporary, model, 'f32')
  const corpus = 'CONTRIBUTING.md'
  const json = join(temporary, model, 'check.json')
  const args = ['check', artifact, '--against', source, '--corpus', corpus, '--json']
  // 4 where a limit is exceeded, as one may be: the figures are what is looked at.
  const { status, stdout, stderr } = spawnSync(process.execPath, ['bin/run.js', ...args], {
    encoding: 'utf8',
  })
  if (status !== 0 && status !== 4) throw new Error(`check ended with ${status}\n${stderr}`)
  writeFileSync(json, stdout)
  check(python, 'check_parity.py', json, artifact, source, corpus)
}

/** A graph that optimum made of our weights runs as it is, holds the same tensors, and converts. */
function checkExport(python, source, graph) {
  check(python, 'export_optimum.py', source, graph)
  const again = `${graph}-again`
  for (const args of [
    ['check', graph, '--against', source],
    ['diff', graph, source],
    ['convert', graph, '--to', 'safetensors', '--out', again],
    ['diff', again, source],
  ]) {
    openllama(args)
    passed++
    console.log(`ok optimum's graph: openllama ${args[0]}`)
  }
}

/**
 * Tokenizers on 100,000 lines of what is on this machine: those of the fixtures, and OpenLLaMA's
 * own where they stand beside the project.
 */
async function checkTokenizers([python, older]) {
  const start = Date.now()
  const real = join('..', 'shared', 'real')
  const found = (path) => {
    if (existsSync(path)) return [path]
    console.log(`skipped, ${path} is not there`)
    return []
  }
  const corpus = join(temporary, 'corpus.txt')
  const kinds = await writeCorpus(corpus, corpusLines, python)
  const lines = Object.values(kinds).reduce((sum, count) => sum + count, 0)
  const shares = Object.entries(kinds).map(([kind, count]) => `${count} of ${kind}`)
  console.log(`corpus: ${lines} lines, ${shares.join(', ')}`)
  const folders = (models) =>
    models.map(([name, source]) => {
      const folder = join(temporary, 'tokenizers', name)
      openllama(['tokenizer', 'convert', source, '--to', 'tokenizer.json', '--out', folder])
      openllama(['tokenizer', 'convert', source, '--to', 'tokenizer.model', '--out', folder])
      return folder
    })
  const inp = found(join(real, 'llama.cpp-vocab', 'probes.inp'))
  const own = ['v1', 'v2'].flatMap((generation) =>
    found(join(real, 'openllama-tokenizers', generation, 'tokenizer.model')).map((path) => [
      generation,
      path,
    ]),
  )
  const tiny = models.map((model) => [model, `${fixtures}/${model}/easylm/tokenizer.model`])
  const texts = [...inp, corpus]
  check(python, 'check_tokenizers.py', ...folders([...own, ...tiny]), '--', ...texts)
  for (const [model, folder] of models.map((model) => [
    model,
    join(temporary, 'tokenizers', model),
  ])) {
    // With the ids and texts that are expected; in transformers 4 too.
    const expected = join(fixtures, model, 'expected', 'tokens.json')
    check(python, 'check_tokenizers.py', folder, '--', expected)
    check(older, 'check_tokenizers.py', folder, '--', expected, ...inp)
  }
  console.log(`tokenizers: ${Math.round((Date.now() - start) / 1000)} s`)
}

/** The Hub that our tests talk to is one that huggingface_hub can talk to. */
async function checkHub(pythons) {
  const home = join(temporary, 'hub-home')
  const hub = await startHub(home)
  try {
    for (const [i, python] of pythons.entries()) {
      const work = join(temporary, `hub-${i}`)
      mkdirSync(work)
      check(python, 'check_hub.py', { env: hub.env }, work)
    }
    // What Python has sent, we fetch into a cache of our own; in it both find everything.
    const version = readdirSync(join(home, 'hub')).find((name) => name.startsWith('models--'))
    const repository = version.split('--').slice(1).join('/')
    const ours = { ...hub.env, HF_HOME: `${home}-2`, HF_HUB_CACHE: join(`${home}-2`, 'hub') }
    const out = join(temporary, 'pulled')
    const pulled = JSON.parse(openllama(['pull', repository, '--out', out, '--json'], ours))
    for (const python of pythons) {
      const env = { ...ours, HF_HUB_OFFLINE: '1', HF_TOKEN: '' }
      check(python, 'check_hub_cache.py', { env }, repository, out)
    }
    // What we push, Python downloads.
    for (const [i, python] of pythons.entries()) {
      check(python, 'check_hub_push.py', { env: hub.env }, ...pushed(`tester/pushed-${i}`, hub.env))
    }
    // And what Python has fetched, we do not fetch again.
    const again = JSON.parse(openllama(['pull', `${repository}@v1`, '--json'], hub.env))
    const known = pulled.files.length > 3 && again.fetched === 0
    report(known, 'openllama: uses what huggingface_hub has fetched')
  } finally {
    hub.stop()
  }
}

/**
 * Converts, describes and publishes a fixture, with a file that goes in parts, and asks for
 * another file to be added.
 * @returns the repository and the folder
 */
function pushed(repository, env) {
  const folder = join(temporary, repository.replace('/', '-'))
  const source = `${fixtures}/${models[0]}/easylm/streaming_params_bf16`
  const config = `${fixtures}/${models[0]}/config.json`
  const to = ['--to', 'safetensors', '--check', '--out', folder]
  openllama(['convert', source, '--config', config, ...to], env)
  openllama(['card', folder, '--model', 'open_llama_3b'], env)
  mkdirSync(join(folder, 'sub'))
  writeFileSync(join(folder, 'sub', 'a b#c%20ü.txt'), 'a name that must be escaped\n')
  writeFileSync(join(folder, 'sub', 'large.dat'), Buffer.alloc(13 * 1024 * 1024 + 5, repository))
  openllama(['push', folder, repository, '--create'], env)
  writeFileSync(join(folder, 'only-there.txt'), 'asked for\n')
  openllama(['push', folder, repository, '--create-pr', '--message', 'Add one'], env)
  return [repository, folder]
}

/** A check that was made here. */
function report(ok, what) {
  console.log(`${ok ? 'ok' : 'FAILED'} ${what}`)
  if (ok) passed++
  else failed++
}

function openllama(given, env = {}) {
  // These tests are the check.
  const unchecked = given[0] === 'convert' && !given.includes('--check')
  const args = unchecked ? [...given, '--no-check'] : given
  const { status, stdout, stderr } = spawnSync(process.execPath, ['bin/run.js', ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  if (status !== 0) throw new Error(`openllama ${args.join(' ')} ended with ${status}\n${stderr}`)
  return stdout
}

/** A script prints `ok …` or `FAILED …` for each of its checks. */
function check(python, script, ...rest) {
  if (only === 'cards' && script !== 'check_cards.py') return
  const [{ env }, args] = typeof rest[0] === 'object' ? [rest[0], rest.slice(1)] : [{}, rest]
  const { status, stdout, stderr } = spawnSync(python, [join('test/interop', script), ...args], {
    encoding: 'utf8',
    env: { ...process.env, HF_HUB_OFFLINE: '1', TOKENIZERS_PARALLELISM: 'false', ...env },
  })
  process.stdout.write(stdout)
  const lines = stdout.split('\n')
  passed += lines.filter((line) => line.startsWith('ok ')).length
  // Some scripts speak JSON instead: one line for all of it.
  if (status === 0 && !lines.some((line) => line.startsWith('ok '))) passed++
  const failures = lines.filter((line) => line.startsWith('FAILED ')).length
  failed += failures
  if (status !== 0 && failures === 0) {
    failed++
    console.log(`FAILED ${script} ${args.join(' ')}: exit ${status}\n${stderr}`)
  }
}
