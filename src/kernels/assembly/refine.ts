// The refinement by which Q3_K finds scales without importance: starting from the element of
// largest magnitude, each element in turn moves to the level that fits the others best, if the
// squared error (elements weigh their square) gets smaller; up to five rounds. The blocks of a
// super-block take their steps side by side: a step waits for the one before it in its block alone.
//
// ggml asks for Σ x³·level of the other elements to be positive. Where the largest element is
// positive it stands for level -4, every term of that sum is negative or zero, and so is the sum of
// some of them as of all: nothing ever moves. Such blocks, half of all, only keep their first levels.
import { gather, highestOf, lowestOf, nearestInts } from './lanes'

const BLOCK: usize = 16
const BLOCK_BYTES: usize = BLOCK << 2
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
/** The block at each place of the tables, and the place of each block. */
const order: usize = memory.data(16)
const places: usize = memory.data(16)

/** Leaves at `scales` the 16 f32 scales of the super-block at `src`. */
export function refineScales(src: usize, scales: usize): void {
  const moving = orderBlocks(src)
  for (let four: usize = 0; four < 4; four++) {
    gather(
      src + blockAt(four * 4),
      src + blockAt(four * 4 + 1),
      src + blockAt(four * 4 + 2),
      src + blockAt(four * 4 + 3),
      elements + four * FOUR,
      BLOCK,
      16,
    )
    start(four)
  }
  const end = ((moving + 3) >> 2) * FOUR
  for (let round = 0; round < 5; round++) {
    let changed = i32x4.splat(0)
    for (let i: usize = 0; i < FOUR; i += 16) {
      for (let four: usize = 0; four < end; four += FOUR) {
        changed = v128.or(changed, step(four + i, four >> 4))
      }
    }
    if (!v128.any_true(changed)) break
  }
  for (let place: usize = 0; place < 16; place++) {
    const sumL2 = load<f32>(sumsL2 + (place << 2))
    const known = sumL2 > 0 && load<i32>(empties + (place << 2)) === 0
    const scale: f32 = known ? load<f32>(sumsLX + (place << 2)) / sumL2 : 0
    store<f32>(scales + ((<usize>load<u8>(order + place)) << 2), scale)
  }
}

/**
 * Gives every block a place in the tables: those whose largest element may be negative first.
 * @returns how many those are
 */
function orderBlocks(src: usize): usize {
  let moving: usize = 0
  let still: usize = 16
  for (let block: usize = 0; block < 16; block++) {
    const from = src + block * BLOCK_BYTES
    const a = v128.load(from)
    const b = v128.load(from, 16)
    const c = v128.load(from, 32)
    const d = v128.load(from, 48)
    const low = f32x4.pmin(f32x4.pmin(a, b), f32x4.pmin(c, d))
    const high = f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d))
    const mayMove = -lowestOf(low) >= highestOf(high)
    const place = mayMove ? moving++ : --still
    store<u8>(order + place, <u8>block)
    store<u8>(places + block, <u8>place)
  }
  return moving
}

/** Bytes from the super-block's start to the block at a place of the tables. */
function blockAt(place: usize): usize {
  return <usize>load<u8>(order + place) * BLOCK_BYTES
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
  const inverse = f32x4.div(f32x4.splat(<f32>LOWEST), v128.bitselect(f32x4.splat(1), signed, empty))
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
  const moves = v128.and(f32x4.gt(othersLX, zero), f32x4.ne(other, level))
  if (!v128.any_true(moves)) return moves
  const newLX = f32x4.add(othersLX, f32x4.mul(wx, other))
  const newL2 = f32x4.add(othersL2, f32x4.mul(f32x4.mul(w, other), other))
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
  const place = <usize>load<u8>(places + block)
  const four = place >> 2
  const lane = (place & 3) << 2
  const empty = load<i32>(empties + (place << 2)) !== 0
  for (let i: usize = 0; i < BLOCK; i++) {
    const level = <i32>load<f32>(levels + four * FOUR + (i << 4) + lane) - LOWEST
    store<u8>(dst + i, empty ? 0 : <u8>level)
  }
}
