// What we write of tokens, generation and tied heads, as transformers and llama.cpp's converter read it.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { check, fixtures, openllama, temporary } from './session.js'

const tiny = `${fixtures}/tiny-v2`
const special = (id, content) => ({
  ...{ id, content, special: true, normalized: false },
  ...{ lstrip: false, rstrip: false, single_word: false },
})

/** Sources as they are published: config.json's fields, and the files beside it. */
function sources() {
  const { added_tokens, ...json } = JSON.parse(
    readFileSync(`${fixtures}/tokenizer/byte-level.json`, 'utf8'),
  )
  const llama3 = (...more) => ({ ...json, added_tokens: [...added_tokens, ...more] })
  const stops = { bos_token_id: 400, eos_token_id: [401, 402, 403] }
  return {
    sampling: {
      generation_config: {
        ...{ bos_token_id: 1, eos_token_id: [2, 7], pad_token_id: 0, do_sample: true },
        ...{ temperature: 0.6, top_p: 0.9, repetition_penalty: 1.05, max_length: 4096 },
      },
    },
    'tied-flag': { config: { tie_word_embeddings: true } },
    'llama3-instruct': {
      config: { ...stops, pad_token_id: undefined },
      generation_config: { ...stops, do_sample: true, temperature: 0.6, top_p: 0.9 },
      tokenizer: llama3(special(402, '<|eom_id|>'), special(403, '<|eot_id|>')),
      tokenizer_config: {
        ...{ bos_token: '<|begin_of_text|>', eos_token: '<|eot_id|>' },
        tokenizer_class: 'PreTrainedTokenizerFast',
      },
    },
    'pad-beyond-rows': {
      config: { bos_token_id: 400, eos_token_id: 401, pad_token_id: 512 },
      tokenizer: llama3(special(512, '[PAD]')),
      tokenizer_config: {
        ...{ bos_token: '<|begin_of_text|>', eos_token: '<|end_of_text|>', pad_token: '[PAD]' },
        tokenizer_class: 'PreTrainedTokenizerFast',
      },
    },
    'scaling-spelled': {
      config: { rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: undefined },
      // JSON.stringify would take the point away.
      edit: (text) => text.replace('"factor":2', '"factor":2.0'),
    },
  }
}

export function checkTokens(pythons) {
  for (const [name, source] of Object.entries(sources())) {
    const folder = join(temporary, 'tokens', name)
    const own = join(folder, 'source')
    write(own, source)
    const to = (out, ...args) => {
      openllama(['convert', own, '--out', join(folder, out), ...args])
      return join(folder, out)
    }
    const files = [to('safetensors', '--to', 'safetensors'), to('pytorch', '--to', 'pytorch')]
    const gguf = to('m.gguf', '--to', 'gguf')
    const logits = name === 'tied-flag' ? [`${tiny}/expected`] : []
    for (const each of pythons) check(each, 'check_tokens.py', own, gguf, files.join(), ...logits)
  }
}

function write(folder, { config = {}, edit = (text) => text, ...others }) {
  mkdirSync(folder, { recursive: true })
  openllama([
    ...['convert', `${tiny}/easylm/streaming_params_bf16`, '--config', `${tiny}/config.json`],
    ...['--to', 'safetensors', '--out', join(folder, '..', 'weights')],
  ])
  copyFileSync(
    join(folder, '..', 'weights', 'model.safetensors'),
    join(folder, 'model.safetensors'),
  )
  const fields = { ...JSON.parse(readFileSync(`${tiny}/config.json`, 'utf8')), ...config }
  writeFileSync(join(folder, 'config.json'), edit(JSON.stringify(fields)))
  if (others.tokenizer === undefined) {
    copyFileSync(`${tiny}/easylm/tokenizer.model`, join(folder, 'tokenizer.model'))
  }
  for (const [name, json] of Object.entries(others)) {
    writeFileSync(join(folder, `${name}.json`), JSON.stringify(json))
  }
}
