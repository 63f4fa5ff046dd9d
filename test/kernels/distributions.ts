/** A source of numbers in [0, 1) that gives the same ones every time (mulberry32). */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const largest = 3.4028234663852886e38
const smallest = 1.401298464324817e-45

type Next = (uniform: () => number, i: number) => number

const normal: Next = (uniform) =>
  Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())

const sign: Next = (uniform) => (uniform() < 0.5 ? -1 : 1)

/** Element i of each distribution; what weights look like, and what they can be at worst. */
export const distributions: Record<string, Next> = {
  normal: (uniform) => 0.02 * normal(uniform, 0),
  'normal in bf16': (uniform) => bf16(0.02 * normal(uniform, 0)),
  uniform: (uniform) => 2 * uniform() - 1,
  'all positive': (uniform) => uniform() + 0.5,
  'all negative': (uniform) => -uniform(),
  'heavy-tailed': (uniform) => (0.02 * normal(uniform, 0)) / Math.max(1e-3, uniform()),
  'constant, positive': () => 0.37,
  'constant, negative': () => -0.37,
  'constant but for the last bits': (uniform) => 1000 + 1e-3 * uniform(),
  'negative constant but for the last bits': (uniform) => -1000 + 1e-3 * uniform(),
  zero: () => 0,
  'zeros of both signs': (uniform) => sign(uniform, 0) * 0,
  'zeros of both signs among positives': (uniform) =>
    uniform() < 0.3 ? sign(uniform, 0) * 0 : uniform(),
  'one outlier a block': (uniform, i) => (i % 32 === 7 ? 50 : 0.02) * normal(uniform, 0),
  'on a grid': (uniform) => Math.round(3 * normal(uniform, 0)) / 8,
  halves: (uniform) => Math.round(64 * uniform()) / 2,
  'halves and what is just below, in blocks of scale 1': (uniform, i) =>
    i % 32 === 0
      ? 127
      : (Math.round(200 * uniform() - 100) / 2) * (1 - sign(uniform, 0) * 2 ** -24),
  sparse: (uniform) => (uniform() < 0.05 ? normal(uniform, 0) : 0),
  denormal: (uniform) => 1e-39 * normal(uniform, 0),
  'a few units of the smallest denormal': (uniform) =>
    Math.round(5 * normal(uniform, 0)) * smallest,
  'below the smallest f16': (uniform) => 1e-7 * normal(uniform, 0),
  'beyond the largest f16': (uniform) => 1e12 * normal(uniform, 0),
  'squares overflow': (uniform) => 1e20 * normal(uniform, 0),
  '±max': (uniform) => sign(uniform, 0) * largest,
  'max here and there': (uniform) =>
    uniform() < 0.01 ? sign(uniform, 0) * largest : normal(uniform, 0),
  'uniform up to max': (uniform) => (2 * uniform() - 1) * largest,
  'all magnitudes': (uniform) => normal(uniform, 0) * 10 ** (76 * uniform() - 38),
  'blocks of all magnitudes': (uniform, i) => normal(uniform, 0) * 10 ** (((i >> 4) % 41) - 20),
}

/** `n` elements of a distribution, as f32. */
export function sample(next: Next, n: number, seed: number): Float32Array {
  const uniform = random(seed)
  return Float32Array.from({ length: n }, (_, i) => next(uniform, i))
}

/** Columns' importance: squares, some of them zero. */
export function sampleImportance(columns: number, seed: number): Float32Array {
  return sample((uniform) => (uniform() < 0.1 ? 0 : normal(uniform, 0) ** 2), columns, seed)
}

function bf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)
  bits[0] = (bits[0] ?? 0) & 0xffff0000
  return new Float32Array(bits.buffer)[0] ?? 0
}
