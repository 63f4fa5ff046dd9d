import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { OpenLlamaError } from '../../src/io/errors.js'
import {
  type Assignment,
  type AssignOptions,
  assignTypes,
  checkOverrides,
  type PlainTensor,
  parseTypeOverride,
} from '../../src/quantize/assign.js'

interface Size {
  hidden: number
  inner: number
  layers: number
  heads: number
  kvHeads: number
  tied?: boolean
}

const sizes = {
  '3b': { hidden: 3200, inner: 8640, layers: 26, heads: 32, kvHeads: 32 },
  '7b': { hidden: 4096, inner: 11008, layers: 32, heads: 32, kvHeads: 32 },
  'mistral 7b': { hidden: 4096, inner: 14336, layers: 32, heads: 32, kvHeads: 8 },
  '70b': { hidden: 8192, inner: 28672, layers: 80, heads: 64, kvHeads: 8 },
} satisfies Record<string, Size>

function model({ hidden, inner, layers, heads, kvHeads, tied }: Size): PlainTensor[] {
  const kv = (hidden / heads) * kvHeads
  const matrix = (name: string, rows: number, columns: number): PlainTensor => ({
    name: `${name}.weight`,
    shape: [rows, columns],
    type: 'f16',
  })
  const norm = (name: string): PlainTensor => ({
    name: `${name}.weight`,
    shape: [hidden],
    type: 'f32',
  })
  return [
    matrix('token_embd', 32000, hidden),
    ...Array.from({ length: layers }, (_, layer) => {
      const at = `blk.${layer}`
      return [
        norm(`${at}.attn_norm`),
        matrix(`${at}.attn_q`, hidden, hidden),
        matrix(`${at}.attn_k`, kv, hidden),
        matrix(`${at}.attn_v`, kv, hidden),
        matrix(`${at}.attn_output`, hidden, hidden),
        norm(`${at}.ffn_norm`),
        matrix(`${at}.ffn_gate`, inner, hidden),
        matrix(`${at}.ffn_up`, inner, hidden),
        matrix(`${at}.ffn_down`, hidden, inner),
      ]
    }).flat(),
    norm('output_norm'),
    ...(tied ? [] : [matrix('output', 32000, hidden)]),
  ]
}

function assign(size: Size, options: AssignOptions): Assignment {
  return assignTypes(model(size), size, options)
}

function typeOf({ tensors }: Assignment, name: string): string | undefined {
  return tensors.find((tensor) => tensor.name === `${name}.weight`)?.type
}

function counts({ tensors }: Assignment): Record<string, number> {
  const found: Record<string, number> = {}
  for (const { type } of tensors) found[type] = (found[type] ?? 0) + 1
  return found
}

// What llama.cpp prints when it loads LLaMA 7B in these files.
const published: [AssignOptions['mix'], Record<string, number>][] = [
  ['q8_0', { f32: 65, q8_0: 226 }],
  ['q4_0', { f32: 65, q4_0: 225, q6_k: 1 }],
  ['q3_k_s', { f32: 65, q3_k: 225, q6_k: 1 }],
  ['q3_k_m', { f32: 65, q3_k: 129, q4_k: 92, q5_k: 4, q6_k: 1 }],
  ['q3_k_l', { f32: 65, q3_k: 129, q5_k: 96, q6_k: 1 }],
  ['q4_k_s', { f32: 65, q4_k: 217, q5_k: 8, q6_k: 1 }],
  ['q4_k_m', { f32: 65, q4_k: 193, q6_k: 33 }],
  ['q5_k_s', { f32: 65, q5_k: 225, q6_k: 1 }],
  ['q5_k_m', { f32: 65, q5_k: 193, q6_k: 33 }],
  ['q6_k', { f32: 65, q6_k: 226 }],
]
for (const [mix, expected] of published) {
  test(`7B in ${mix} has the types that llama.cpp counts`, () => {
    const got = assign(sizes['7b'], { mix })
    assert.equal(counts(got), expected)
    assert.equal(got.fallbacks, [])
  })
}

test('q4_k_m gives the first and last eighth, and every third layer between, more bits', () => {
  const got = assign(sizes['7b'], { mix: 'q4_k_m' })
  const more = Array.from({ length: 32 }, (_, i) => i).filter(
    (i) => typeOf(got, `blk.${i}.ffn_down`) === 'q6_k',
  )
  assert.equal(more, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31])
  assert.is(got.fileType, 15)
  assert.is(got.bitsPerWeight.toFixed(2), '4.84')
})

test('layers count in their order, not in that of the list or of the alphabet', () => {
  const tensors = model(sizes['7b']).reverse()
  const got = assignTypes(tensors, sizes['7b'], { mix: 'q4_k_s' })
  assert.is(typeOf(got, 'blk.3.attn_v'), 'q5_k')
  assert.is(typeOf(got, 'blk.10.attn_v'), 'q4_k')
  assert.is(got.tensors[0]?.name, 'output.weight')
})

test('value matrices shared by four heads or more are Q4_K in q2_k', () => {
  assert.is(typeOf(assign(sizes['mistral 7b'], { mix: 'q2_k' }), 'blk.5.attn_v'), 'q4_k')
  assert.is(typeOf(assign(sizes['7b'], { mix: 'q2_k' }), 'blk.5.attn_v'), 'q3_k')
})

test('the value matrices of 70B are never Q3_K or Q4_K', () => {
  for (const mix of ['q2_k', 'q3_k_s', 'q3_k_m', 'q4_k_s', 'q4_k_m'] as const) {
    const got = assign(sizes['70b'], { mix })
    assert.is(typeOf(got, 'blk.12.attn_v'), mix === 'q4_k_m' ? 'q6_k' : 'q5_k', mix)
    assert.is(typeOf(got, 'blk.11.attn_v'), 'q5_k', mix)
  }
})

test('tied embeddings get the type of the head', () => {
  const tied = { ...sizes['7b'], tied: true }
  assert.is(typeOf(assign(tied, { mix: 'q4_k_m' }), 'token_embd'), 'q6_k')
  assert.is(typeOf(assign(tied, { mix: 'q4_k_m', outputType: 'q8_0' }), 'token_embd'), 'q8_0')
  assert.is(
    typeOf(assign(tied, { mix: 'q4_k_m', tokenEmbeddingType: 'q5_k' }), 'token_embd'),
    'q5_k',
  )
})

test("OpenLLaMA 3B's hidden size takes no K-quant: every such matrix is a fallback, and listed", () => {
  const got = assign(sizes['3b'], { mix: 'q4_k_m' })
  assert.equal(counts(got), { f32: 53, q5_0: 157, q8_0: 27 })
  assert.is(got.fallbacks.length, 184)
  assert.equal(
    got.fallbacks.find(({ tensor }) => tensor === 'output.weight'),
    {
      tensor: 'output.weight',
      wanted: 'q6_k',
      got: 'q8_0',
      reason: 'rows of 3200 are no multiple of 256',
    },
  )
})

test('rows of no whole 32 become F16', () => {
  const tensors: PlainTensor[] = [{ name: 'blk.0.attn_q.weight', shape: [64, 40], type: 'f32' }]
  for (const mix of ['q4_0', 'q5_k_m'] as const) {
    const got = assignTypes(tensors, sizes['7b'], { mix })
    assert.is(got.tensors[0]?.type, 'f16')
    assert.is(got.bytes, 64 * 40 * 2)
    assert.is(got.fallbacks[0]?.reason, 'rows of 40 are no multiple of 32')
  }
})

test('pure gives one type to all matrices', () => {
  assert.equal(counts(assign(sizes['7b'], { mix: 'q4_k_m', pure: true })), { f32: 65, q4_k: 226 })
})

test('the types named for head and embedding go before overrides, these before the mix', () => {
  const overrides = ['output=q5_0', 'attn_(q|k)\\.=Q8_0', 'blk\\.0\\.attn_v=f16'].map(
    parseTypeOverride,
  )
  const got = assign(sizes['7b'], { mix: 'q4_k_s', outputType: 'bf16', overrides })
  assert.is(typeOf(got, 'output'), 'bf16')
  assert.is(typeOf(got, 'blk.7.attn_output'), 'q5_0')
  assert.is(typeOf(got, 'blk.7.attn_k'), 'q8_0')
  assert.is(typeOf(got, 'blk.0.attn_v'), 'f16')
  // The override took one place from those that are counted.
  assert.is(typeOf(got, 'blk.4.attn_v'), 'q5_k')
  assert.is(typeOf(got, 'blk.5.attn_v'), 'q4_k')
})

test('the head is left as it is when asked', () => {
  assert.is(typeOf(assign(sizes['7b'], { mix: 'q4_0', leaveOutput: true }), 'output'), 'f16')
})

test('with importance the first eighth of ffn_down is Q4_1 in q4_0, Q5_1 in q5_0', () => {
  const four = assign(sizes['7b'], { mix: 'q4_0', importance: true })
  assert.is(typeOf(four, 'blk.3.ffn_down'), 'q4_1')
  assert.is(typeOf(four, 'blk.4.ffn_down'), 'q4_0')
  const five = assign(sizes['7b'], { mix: 'q5_0', importance: true })
  assert.is(typeOf(five, 'blk.3.ffn_down'), 'q5_1')
})

test('an override that is none is refused with a sentence', () => {
  const refused: [string, RegExp][] = [
    ['attn_v', /not of the form/],
    ['=q8_0', /not of the form/],
    ['attn_v=', /not of the form/],
    ['attn_(v=q8_0', /no regular expression/],
    ['attn_v=q9', /"q9" is no tensor type/],
  ]
  for (const [text, message] of refused) {
    assert.throws(
      () => parseTypeOverride(text),
      (error: unknown) => error instanceof OpenLlamaError && message.test(error.message),
      text,
    )
  }
})

test('a pattern that changes nothing is refused, with the names nearest to it', () => {
  const refusal = (text: string): OpenLlamaError => {
    try {
      checkOverrides([parseTypeOverride(text)], model(sizes['7b']))
    } catch (error) {
      if (!(error instanceof OpenLlamaError)) throw error
      assert.is(error.code, 'usage')
      return error
    }
    throw new Error(`${text} is taken`)
  }
  const wrong = refusal('attn_vv=q8_0')
  assert.is(wrong.message, '`tensorTypes` "attn_vv=q8_0" matches no tensor')
  assert.match(String(wrong.suggestions), /^Nearest are blk\.0\.attn_v\.weight, /)
  assert.match(
    String(refusal('ffn_dwn=q8_0').suggestions),
    /^Nearest are blk\.0\.ffn_down\.weight, /,
  )
  // Norms stay as they are, whatever a pattern says.
  assert.match(refusal('ffn_norm=q8_0').message, /only tensors that are never quantized/)
  for (const text of ['attn_v=q8_0', 'blk\\.31\\.FFN_DOWN=q6_k', 'output=f16']) {
    checkOverrides([parseTypeOverride(text)], model(sizes['7b']))
  }
})

test.run()
