// What each of ../shared/cases must do: the `# expect` lines of its run.sh, as tables.
// A case has an entry for each of its runs: what it may end with, what its output (with what the script
// prints after it) must say, and what it may never say. Where "or" stands, there are several.

const step = /\n {2}\S/
const checked = /checked/
const pass = { exit: 0 }
const readsAll = { exit: 0, says: [/ 21 tensors/] }

/** A method of quantization that is called by its name, with a next step; or read. */
const quantized = (...names) => [
  [{ exit: 3, says: [...names, step], never: [/its dtype is/] }, pass],
]

/** Either the format says it, or the loss is said; or it is refused unless the loss is allowed. */
const lossy = (what) => [
  { exit: 0, says: [checked, what] },
  { exit: 3, says: [what, /--allow-loss/] },
]

const iq4 = { exit: 0, says: [/iq4_xs/i] }
const incomplete = [/Check the path/]

export const expectations = {
  C01b: [
    [readsAll, { exit: 3, says: [/index/] }],
    [readsAll, { exit: 3, says: [/index/] }],
  ],
  C02b: [[pass, { exit: 3, says: [/Mistral/, /model-\*\.safetensors|model-\S*\.safetensors/] }]],
  C03: [[{ exit: 3, says: [/LlamaModel/, /head/] }, pass]],
  C03b: [[pass]],
  C04: quantized(/bitsandbytes/i),
  C05: quantized(/bitsandbytes/i, /nf4|4.bit/i),
  C06: quantized(/GPTQ/i),
  C07: quantized(/FP8/i),
  C08: quantized(/MLX/i),
  C09: quantized(/compressed-tensors/i),
  C11: [[{ exit: 0, says: [checked] }], lossy(/dynamic/), lossy(/dynamic/).map(noLimit)],
  C12: [[{ exit: 0, says: [checked] }], [{ exit: 0, says: [checked] }], [{ exit: 0 }]],
  C14: [[{ exit: 0, says: [/checked: /] }], [pass], [readsAll]],
  C14b: [
    [{ exit: 0, says: [checked], never: [/right only up to/] }, ...lossy(/longrope/)],
    [{ exit: 0, never: [/right only up to/] }, ...lossy(/longrope/)],
  ],
  C16b: [[pass, { exit: 3, says: [/bias/, step] }]],
  C17: [[pass], [{ exit: 0, says: [/tokenizer.*tokenizer\.json/], never: [/none found/] }]],
  C18: [[{ exit: 0, never: [/warning/] }]],
  C19: [
    [{ exit: 0, says: [/warning: .*512.*EOS/] }],
    [{ exit: 0, says: [/warning: .*512.*EOS/], never: [/"eos_token_id": 512/] }],
  ],
  C20: [
    [
      { exit: 0, says: [/warning: .*(added|rows)/] },
      { exit: 3, says: [/added_tokens\.json/, step], never: [/original tokenizer\.model/] },
    ],
    [
      { exit: 0, says: [/warning: .*(added|rows)/] },
      { exit: 3, says: [/added_tokens\.json/, step], never: [/original tokenizer\.model/] },
    ],
  ],
  C27b: [[{ exit: 3, says: [/link/, /pull|download/], never: incomplete }]],
  C27h: [[{ exit: 0, says: [/^[1-9]\d*$/m], never: [/^[0-9a-f]{40}$/m] }]],
  C28b: [[{ exit: 0, says: [/warning: .*(tie|head)/, /"tie_word_embeddings": false/] }]],
  C30: [[{ exit: 3, says: [/index/, /\b(4|all|none)\b/, /of-00002/], never: incomplete }]],
  C30b: [
    [
      {
        exit: 3,
        says: [/3 /, /model-00002-of-00003/, /\n {2}.*(pull|download)/i],
        never: incomplete,
      },
    ],
  ],
  C32: [[{ exit: 0, says: [/quantization_config/, /^0$/m] }]],
  C33b: [
    [
      {
        exit: 0,
        says: [
          /"eos_token_id": \[\s*2,\s*7\s*\]/,
          /"do_sample": true/,
          /"temperature": 0\.6/,
          /"top_p": 0\.9/,
        ],
      },
    ],
  ],
  C33c: [[pass], [{ exit: 0, says: [/eos_token_id +uint32 +507/] }]],
  C34: [
    [
      { exit: 3, says: [/vocabulary/, /tokenizer/] },
      { exit: 0, says: [/vocabulary/, /tokenizer\.ggml\.model/] },
    ],
  ],
  C35: [[{ exit: 3, says: [/LoRA/, /acme\/tiny/, /merge/] }]],
  C36: [
    [
      { exit: 4, says: [/warning: .*window[\s\S]*error: /, /error: [\s\S]*window/] },
      { exit: 3, says: [/sliding window/, /--allow-loss/] },
    ],
  ],
  C36b: [
    [
      { exit: 0, says: [/warning: .*window/] },
      { exit: 3, says: [/sliding window/, /--allow-loss/] },
    ],
    [
      { exit: 4, says: [/FAILED/] },
      { exit: 3, says: [/no such file/] },
    ],
  ],
  C37c: [[{ exit: 0, says: [/optimizer|hyper|left out/i] }]],
  C38b: [[{ exit: 0, says: [/module\./] }]],
  C38d: [[{ exit: [0, 3], says: [/"?base_model\.model\.(?!model\.|lm_head)/] }]],
  C38s: [[{ exit: 0, says: [/_orig_mod\.(?!model\.|lm_head)/] }]],
  C39: [[{ exit: 3, says: [/FSDP|DTensor/, /merge/] }]],
  C39b: [[pass]],
  C48: [[iq4], [{ exit: [0, 4], says: [/llama\.cpp/] }], [pass, { exit: 2, says: [/iq4_xs/] }]],
  C55b: [[{ exit: [0, 3], says: [/position_ids/], never: [/its dtype is/] }]],
  C59g: [[pass]],
  C60b: [
    [
      {
        exit: 0,
        says: [/"max_position_embeddings": 256/],
        never: [/"bos_token_id": 0/, /"eos_token_id": 1\b/],
      },
    ],
  ],
  C61b: [
    [{ exit: 0, says: [/heads/, /epsilon +(1e-5|0\.00001)$/m] }],
    [{ exit: [0, 3], says: [/heads/] }],
  ],
  C64b: [
    [
      readsAll,
      { exit: 3, says: [/checkpoint\.bin/, /no (model|weights|checkpoint)/, /optimizer/] },
    ],
  ],
  C66: [[{ exit: 3, says: [/tokenizer\.json/, /Git LFS pointer/] }]],
  C68: [[pass, { exit: 3, says: [/FlaxLlamaForCausalLM/, step] }]],
  C73: [[pass], [{ exit: 0, says: [/checked: /] }], [{ exit: 0, says: [/checked: /] }]],
  C74: [
    [pass],
    [
      {
        exit: 0,
        says: [/^tokenizer\.json$/m, /^tokenizer_config\.json$/m],
        never: [/no tokenizer is beside/],
      },
    ],
  ],
  L01: [
    [
      {
        exit: 0,
        says: [/my_group.*\| acc.*0\.4286/, /word_perplexity.*1\.3968/, /byte_perplexity.*1\.0871/],
        never: [/sample_(len|count)/, /value: (7|14)$/m, /7\.0000/],
      },
    ],
  ],
  L02: [
    [
      {
        exit: 0,
        says: [/my_a \| acc.*0\.4286/, /word_perplexity.*1\.3968/, /value: 1\.(0871|3967)/],
        never: [/sample_(len|count)/, /value: 7$/m, /7\.0000/],
      },
    ],
  ],
}

/** A dry run says it beforehand, and checks nothing. */
function noLimit({ exit, says }) {
  return { exit, says: exit === 0 ? [...says, /check/] : says }
}
