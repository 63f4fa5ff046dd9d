import type { Random } from './random.js'

/** Changes bytes by chance. */
export type Mutator = (bytes: Uint8Array, other: Uint8Array, random: Random) => Uint8Array

/** Around the ends of the integer types, and sizes that no file has. */
const numbers: readonly [bigint, ...bigint[]] = [
  0n,
  1n,
  2n,
  7n,
  16n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x10000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x1fffffffffffffn,
  0x20000000000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffffffffffffn,
]

/** The longest input: parsers are to be tried often, not with much. */
const longest = 64 * 1024

/**
 * A mutator that knows nothing of a format but its `tokens`: flips bits, writes numbers, takes
 * away, doubles, puts in tokens, and joins two inputs.
 */
export function bytesMutator(tokens: readonly (string | Uint8Array)[] = []): Mutator {
  const encoded = tokens.map((token) =>
    typeof token === 'string' ? new TextEncoder().encode(token) : token,
  )
  return (bytes, other, random) => {
    let changed: Uint8Array = Uint8Array.from(bytes)
    for (let times = 1 + random.below(4); times > 0; times--) {
      changed = changeOnce(changed, other, encoded, random)
    }
    return changed.subarray(0, longest)
  }
}

function changeOnce(
  bytes: Uint8Array,
  other: Uint8Array,
  tokens: readonly Uint8Array[],
  random: Random,
): Uint8Array {
  const at = random.below(bytes.length + 1)
  const length = 1 + random.below(random.oneIn(4) ? 256 : 8)
  switch (random.below(tokens.length > 0 ? 9 : 8)) {
    case 0:
      if (bytes.length > 0)
        bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << random.below(8))
      return bytes
    case 1:
      if (bytes.length > 0) bytes[at % bytes.length] = random.below(256)
      return bytes
    case 2:
    case 3:
      return writeNumber(bytes, at, random)
    case 4:
      return splice(bytes, at, length, new Uint8Array())
    case 5:
      return splice(bytes, at, 0, bytes.subarray(at, at + length))
    case 6:
      return splice(
        bytes,
        at,
        0,
        Uint8Array.from({ length }, () => random.below(256)),
      )
    case 7: {
      const from = random.below(other.length + 1)
      return random.oneIn(2)
        ? splice(bytes, at, bytes.length, other.subarray(from))
        : splice(bytes, at, length, other.subarray(from, from + length))
    }
    default: {
      const token = tokens[random.below(tokens.length)] ?? new Uint8Array()
      return splice(bytes, at, random.oneIn(2) ? token.length : 0, token)
    }
  }
}

function writeNumber(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const size = random.of([1, 2, 4, 8])
  if (at + size > bytes.length) return bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, size)
  const little = !random.oneIn(4)
  const number = numberFor(view, size, little, bytes.length, random)
  if (size === 1) view.setUint8(0, Number(BigInt.asUintN(8, number)))
  else if (size === 2) view.setUint16(0, Number(BigInt.asUintN(16, number)), little)
  else if (size === 4) view.setUint32(0, Number(BigInt.asUintN(32, number)), little)
  else view.setBigUint64(0, BigInt.asUintN(64, number), little)
  return bytes
}

/** One of the known ones, what is there give or take a little, or about the input's length. */
function numberFor(
  view: DataView,
  size: number,
  little: boolean,
  length: number,
  random: Random,
): bigint {
  const little64 = new Uint8Array(8)
  little64.set(new Uint8Array(view.buffer, view.byteOffset, size))
  const there = new DataView(little64.buffer).getBigUint64(0, little || size < 8)
  const near = BigInt(random.below(17) - 8)
  return random.of([random.of(numbers), there + near, BigInt(length) + near, -random.of(numbers)])
}

function splice(bytes: Uint8Array, at: number, drop: number, put: Uint8Array): Uint8Array {
  const made = new Uint8Array(at + put.length + Math.max(0, bytes.length - at - drop))
  made.set(bytes.subarray(0, at))
  made.set(put, at)
  made.set(bytes.subarray(at + drop), at + put.length)
  return made
}
