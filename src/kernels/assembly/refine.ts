// The refinement by which Q3_K finds scales without importance: starting from the element of
// largest magnitude, each element in turn moves to the level that fits the others best, if the
// squared error (elements weigh their square) gets smaller; up to five rounds. The 16 blocks of a
// super-block take their steps side by side: a step waits for the one before it in its block alone.
import { gather, nearestInts } from './lanes'

const BLOCK: usize = 16
/** Bytes from the vectors of four blocks to those of the next four. */
const FOUR: usize = BLOCK << 4

const LOWEST = -4
const HIGHEST = 3
/** Blocks with nothing larger are stored as zeros. */
const ALL_ZERO: f32 = 1e-15

const elements: usize = memory.data(1024, 16)
const squares: usize = memory.data(1024, 16)
const cubes: usize = memory.data(1024, 16)
const levels: usize = memory.data(1024, 16)
/** For every four blocks Σ x³·level and Σ x²·level². */
const sumsLX: usize = memory.data(64, 16)
const sumsL2: usize = memory.data(64, 16)
const empties: usize = memory.data(64, 16)

/** Leaves at `scales` the 16 f32 scales of the super-block at `src`. */
export function refineScales(src: usize, scales: usize): void {
  for (let four: usize = 0; four < 4; four++) {
    const from = src + four * (4 * BLOCK << 2)
    gather(from, from + 64, from + 128, from + 192, elements + four * FOUR, BLOCK, 16)
    start(four)
  }
  for (let round = 0; round < 5; round++) {
    let changed = i32x4.splat(0)
    for (let at: usize = 0; at < FOUR; at += 16) {
      changed = v128.or(changed, step(at, 0))
      changed = v128.or(changed, step(at + FOUR, 16))
      changed = v128.or(changed, step(at + 2 * FOUR, 32))
      changed = v128.or(changed, step(at + 3 * FOUR, 48))
    }
    if (!v128.any_true(changed)) break
  }
  for (let four: usize = 0; four < 64; four += 16) {
    const sumL2 = v128.load(sumsL2 + four)
    const scale = f32x4.div(v128.load(sumsLX + four), sumL2)
    const known = v128.andnot(f32x4.gt(sumL2, f32x4.splat(0)), v128.load(empties + four))
    v128.store(scales + four, v128.and(scale, known))
  }
}

/** The levels, as f32, that go with the plain inverse scale -4 / largest. */
function start(four: usize): void {
  const from = elements + four * FOUR
  let magnitude = f32x4.splat(0)
  let signed = f32x4.splat(0)
  for (let i: usize = 0; i < FOUR; i += 16) {
    const x = v128.load(from + i)
    const absolute = f32x4.abs(x)
    const larger = f32x4.gt(absolute, magnitude)
    magnitude = v128.bitselect(absolute, magnitude, larger)
    signed = v128.bitselect(x, signed, larger)
  }
  const empty = f32x4.lt(magnitude, f32x4.splat(ALL_ZERO))
  const inverse = f32x4.div(
    f32x4.splat(<f32>LOWEST),
    v128.bitselect(f32x4.splat(1), signed, empty),
  )
  let sumLX = f32x4.splat(0)
  let sumL2 = f32x4.splat(0)
  for (let i: usize = 0; i < FOUR; i += 16) {
    const at = four * FOUR + i
    const x = v128.load(elements + at)
    const w = f32x4.mul(x, x)
    const wx = f32x4.mul(w, x)
    const level = clamped(f32x4.mul(inverse, x))
    sumLX = f32x4.add(sumLX, f32x4.mul(wx, level))
    sumL2 = f32x4.add(sumL2, f32x4.mul(f32x4.mul(w, level), level))
    v128.store(squares + at, w)
    v128.store(cubes + at, wx)
    v128.store(levels + at, level)
  }
  v128.store(sumsLX + (four << 4), sumLX)
  v128.store(sumsL2 + (four << 4), sumL2)
  v128.store(empties + (four << 4), empty)
}

/** Moves one element of four blocks; `at` is its place in the tables, `sums` that of its blocks' sums. */
function step(at: usize, sums: usize): v128 {
  const zero = f32x4.splat(0)
  const sumLX = v128.load(sumsLX + sums)
  const sumL2 = v128.load(sumsL2 + sums)
  const x = v128.load(elements + at)
  const w = v128.load(squares + at)
  const wx = v128.load(cubes + at)
  const level = v128.load(levels + at)

  const othersLX = f32x4.sub(sumLX, f32x4.mul(wx, level))
  const othersL2 = f32x4.sub(sumL2, f32x4.mul(f32x4.mul(w, level), level))
  const other = clamped(f32x4.div(f32x4.mul(x, othersL2), othersLX))
  const newLX = f32x4.add(othersLX, f32x4.mul(wx, other))
  const newL2 = f32x4.add(othersL2, f32x4.mul(f32x4.mul(w, other), other))

  const moves = v128.and(f32x4.gt(othersLX, zero), f32x4.ne(other, level))
  const gains = f32x4.gt(
    f32x4.mul(f32x4.mul(newLX, newLX), sumL2),
    f32x4.mul(f32x4.mul(sumLX, sumLX), newL2),
  )
  const better = v128.and(v128.and(moves, gains), f32x4.gt(newL2, zero))
  v128.store(levels + at, v128.bitselect(other, level, better))
  v128.store(sumsLX + sums, v128.bitselect(newLX, sumLX, better))
  v128.store(sumsL2 + sums, v128.bitselect(newL2, sumL2, better))
  return better
}

/** The nearest level of -4…3, as f32. */
function clamped(scaled: v128): v128 {
  const whole = i32x4.min_s(i32x4.splat(HIGHEST), nearestInts(scaled))
  return f32x4.convert_i32x4_s(i32x4.max_s(i32x4.splat(LOWEST), whole))
}

/** Writes the refined levels 0…7 of a block as bytes; an empty block has level 0. */
export function storeRefinedLevels(block: usize, dst: usize): void {
  const four = block >> 2
  const lane = (block & 3) << 2
  const empty = load<i32>(empties + (four << 4) + lane) !== 0
  for (let i: usize = 0; i < BLOCK; i++) {
    const level = <i32>load<f32>(levels + four * FOUR + (i << 4) + lane) - LOWEST
    store<u8>(dst + i, empty ? 0 : <u8>level)
  }
}
