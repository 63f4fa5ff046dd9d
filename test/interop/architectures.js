// Random models of the architectures near LLaMA, as both versions of transformers save them: through
// every format and back, against llama.cpp's converter and quantizer, and run by transformers, ONNX
// Runtime, transformers.js and llama.cpp. Three models; with a regular expression behind
// `architectures` those that match, and with `.` all. LLAMA_CPP may name a folder of llama.cpp's source
// with llama-quantize built in it, whose programs then run too; `--write` keeps what they make.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { AutoModelForCausalLM, env, Tensor } from '@huggingface/transformers'
import { checkArtifact } from '../../dist/check/check.js'
import { diffCheckpoints } from '../../dist/compare/diff.js'
import { prepareConversion, runConversion } from '../../dist/convert/convert.js'
import { openCheckpoint } from '../../dist/open/open.js'
import { openRunnable } from '../../dist/open/runnable.js'
import { largestDifference, likeliest, llamaLogits } from './llama.js'
import { check, fixtures, report, temporary } from './session.js'

const tokenizer = `${fixtures}/tiny-v2/easylm/tokenizer.model`
const floats = ['f32', 'f16', 'bf16']
const kinds = [...floats, 'q8_0', 'q4_k_m', 'q6_k', 'f32-fused']

/** Which llama.cpp has no graph for: what is said instead of a GGUF. */
const withoutGguf = {
  'qwen3-attention-bias': /o_proj\.bias.*safetensors, PyTorch or ONNX/s,
  'qwen2-heads': /qwen2 architecture takes .* for head_dim/,
}

const usual = '^(llama-biases-tied|qwen2|qwen3-tied)$'

export async function checkArchitectures([python, older], pattern = process.argv[3] ?? usual) {
  const root = join(temporary, 'architectures')
  make(python, root, pattern)
  make(older, `${root}-4`, pattern)
  const names = readdirSync(root)
  for (const name of names) {
    const folder = join(root, name)
    const source = join(folder, 'model')
    await same(source, join(`${root}-4`, name, 'model'), `${name} by transformers 5 and by 4`)
    await checkFormats(folder, name)
    checkRefusals(source, name)
    await checkWritten([python, older], folder)
    await checkOnnx(python, folder)
    await checkTransformersJs(folder)
    if (name in withoutGguf) refuses(source, 'gguf', withoutGguf[name], name)
    else await checkGguf(folder, name)
  }
  const written = names.filter((name) => !(name in withoutGguf))
  const write = process.argv.includes('--write') ? ['--write'] : []
  check(python, 'check_converter.py', root, kinds.join(','), ...written, ...write)
}

function make(python, out, pattern) {
  const args = ['test/interop/make_models.py', out, tokenizer, pattern]
  const { status, stderr } = spawnSync(python, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`make_models.py ended with ${status}\n${stderr}`)
}

/** In a type that each of them holds, nothing is lost on the way through all formats. */
async function checkFormats(folder, name) {
  for (const dtype of floats) {
    const first = await to(folder, 'safetensors', dtype, `hf-${dtype}`)
    const steps = [
      ['pytorch', dtype],
      // ONNX has what bf16 holds as f32.
      ['onnx', dtype === 'bf16' ? 'f32' : dtype],
      ...(name in withoutGguf ? [] : [['gguf', dtype]]),
      ['safetensors', dtype],
    ]
    let before = `hf-${dtype}`
    for (const [format, type] of steps) {
      const next = `${dtype}-way-${format}${format === 'gguf' ? '.gguf' : ''}`
      await same(first, await to(folder, format, type, next, { source: before }), `${name} ${next}`)
      before = next
    }
  }
}

/** EasyLM, Flax and Meta know LLaMA alone. */
function checkRefusals(source, name) {
  const says = name.startsWith('llama') ? /bias.*LLaMA/s : /Qwen[23].*LLaMA/s
  for (const format of ['easylm', 'flax', 'meta']) refuses(source, format, says, name)
}

function refuses(source, format, says, name) {
  const out = join(temporary, 'refused')
  const args = ['bin/run.js', 'convert', source, '--to', format, '--out', out]
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  const nothing = readdirSync(temporary).every((each) => !each.startsWith('refused'))
  const right = status === 3 && says.test(stderr) && nothing
  report(right, `${name} to ${format} is refused${right ? '' : `: exit ${status}\n${stderr}`}`)
}

/** What we write is what both versions of transformers compute with. */
async function checkWritten(pythons, folder) {
  const ours = [join(folder, 'hf-f32'), join(folder, 'f32-way-pytorch')]
  for (const python of pythons) {
    check(python, 'check_transformers.py', '1e-4', join(folder, 'expected'), ...ours)
  }
  for (const path of ours) await passes(path, join(folder, 'model'))
}

async function checkOnnx(python, folder) {
  const onnx = (dtype) => to(folder, 'onnx', dtype, `onnx-${dtype}`, { onnxTarget: 'genai' })
  const plain = [await onnx('f32'), await onnx('f16')]
  const rounded = [await onnx('q8'), await onnx('q4'), await onnx('q4f16')]
  const expected = join(folder, 'expected')
  check(python, 'check_onnx.py', '1e-4', expected, plain[0])
  check(python, 'check_onnx.py', '0.5', expected, plain[1])
  check(python, 'check_onnx_quantized.py', plain[0], ...rounded)
  for (const path of [...plain, ...rounded]) await passes(path, join(folder, 'model'))
  const type = jsonOf(folder, 'model', 'config.json').model_type
  const genai = jsonOf(folder, 'onnx-q4', 'genai_config.json').model.type
  report(genai === type, `${basename(folder)}: genai_config.json is of ${genai}`)
}

/** transformers.js finds the architecture's class, and answers as transformers does. */
async function checkTransformersJs(folder) {
  Object.assign(env, { allowRemoteModels: false, localModelPath: dirname(folder) })
  const name = `${basename(folder)}/onnx-f32`
  const model = await AutoModelForCausalLM.from_pretrained(name, { dtype: 'fp32' })
  const answers = jsonOf(folder, 'expected', 'generate.json')
  let right = 0
  for (const { prompt_ids, ids } of answers) {
    const shape = [1, prompt_ids.length]
    const inputs = new Tensor('int64', BigInt64Array.from(prompt_ids, BigInt), shape)
    const ones = new BigInt64Array(prompt_ids.length).fill(1n)
    const answer = await model.generate({
      inputs,
      attention_mask: new Tensor('int64', ones, shape),
      max_new_tokens: ids.length - prompt_ids.length,
      do_sample: false,
    })
    if (String([...answer.data]) === String(ids)) right++
  }
  await model.dispose()
  report(right === answers.length, `transformers.js ${name}: ${right} of ${answers.length} answers`)
}

async function checkGguf(folder, name) {
  for (const kind of kinds) {
    const [dtype, fused] = kind.split('-')
    const how = fused === undefined ? {} : { fuseQkv: true }
    await to(folder, 'gguf', dtype, `${kind}.gguf`, how)
  }
  for (const kind of ['f32', 'q8_0', 'q4_k_m', 'f32-fused']) {
    await passes(join(folder, `${kind}.gguf`), join(folder, 'model'))
  }
  const { texts, logits } = textsOf(join(folder, 'expected', 'logits.safetensors'))
  const answers = jsonOf(folder, 'expected', 'generate.json')
  const all = [...texts, ...answers.map(({ ids }) => ids)]
  const { rows, vocabulary } = await llamaLogits(join(folder, 'f32.gguf'), all)
  const worst = Math.max(...logits.map((each, i) => largestDifference(rows[i], each, vocabulary)))
  report(worst < 1e-3, `llama.cpp ${name}: logits within ${worst.toExponential(1)}`)
  const right = answers.filter(({ prompt_ids, ids }, i) => {
    const itsRows = rows[texts.length + i]
    return ids.every(
      (id, at) => at < prompt_ids.length || likeliest(itsRows, at - 1, vocabulary) === id,
    )
  })
  const of = `${right.length} of ${answers.length} answers`
  report(right.length === answers.length, `llama.cpp ${name}: ${of}`)
}

/** Converts a model, or what was made of it, to a place in its folder. @returns the place */
async function to(folder, format, dtype, name, { source = 'model', ...more } = {}) {
  const out = join(folder, name)
  if (existsSync(out)) throw new Error(`${out} is there`)
  const how = { to: format, dtype, maxMemory: 256e6, threads: 2, ...more, out }
  await runConversion(await prepareConversion(join(folder, source), how), {
    ...{ resume: false, force: false, sha256: false },
    ...{ allowNonFinite: false, allowOverflow: false },
  })
  return out
}

async function same(a, b, what) {
  const [ours, theirs] = [await openCheckpoint(a), await openCheckpoint(b)]
  const found = await diffCheckpoints(ours, theirs, { maxMemory: 256e6 })
  const equal = found.same && found.tensors.every(({ status }) => status === 'equal')
  report(equal, `diff: ${what}${equal ? '' : `: ${JSON.stringify(found).slice(0, 1000)}`}`)
}

/**
 * Rounding moves the answers of random weights more than those of what learned something: that they
 * run, and each tensor, is what is held.
 */
const loose = {
  ...{ kldMean: 10, kldMedian: 10, kldP999: 100, nmse: 10 },
  ...{ top1: 0, perplexity: 100, logit: 1000 },
}

async function passes(artifact, source) {
  const limits = /(q\w+|f16)(\.gguf)?$/.test(basename(artifact)) ? loose : {}
  const options = { against: await openRunnable(source), device: 'cpu', limits }
  const { record } = await checkArtifact(await openRunnable(artifact), options)
  const right = record.verdict === 'passed'
  const what = `check: ${basename(dirname(artifact))}/${basename(artifact)}`
  report(right, right ? what : `${what}: ${JSON.stringify(record).slice(0, 2000)}`)
}

/** `i.input_ids` and `i.logits`, of i64 and f32. */
function textsOf(path) {
  const file = readFileSync(path)
  const length = Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.subarray(8, 8 + length).toString())
  const bytes = (name) => {
    const [begin, end] = header[name].data_offsets
    return file.buffer.slice(...[begin, end].map((at) => file.byteOffset + 8 + length + at))
  }
  const count = Object.keys(header).filter((name) => name.endsWith('.logits')).length
  const each = (name) => Array.from({ length: count }, (_, i) => bytes(`${i}.${name}`))
  return {
    texts: each('input_ids').map((ids) => Array.from(new BigInt64Array(ids), Number)),
    logits: each('logits').map((values) => new Float32Array(values)),
  }
}

function jsonOf(...path) {
  return JSON.parse(readFileSync(join(...path), 'utf8'))
}
