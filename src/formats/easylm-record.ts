import { pack } from 'msgpackr'

/** numpy's names, as flax writes them. */
const dtypeNames: Record<'f64' | 'f32' | 'f16' | 'bf16', string> = {
  f64: 'float64',
  f32: 'float32',
  f16: 'float16',
  bf16: 'bfloat16',
}

/**
 * What comes before the raw bytes of an array in an EasyLM stream: the key, and
 * the heads of the binary and of the flax array in it.
 * @param name as a path: transformer/wte/embedding
 * @param length bytes of the array
 */
export function recordHead(
  name: string,
  dtype: keyof typeof dtypeNames,
  shape: readonly number[],
  length: number,
): Uint8Array {
  const array = arrayHead(dtype, shape, length)
  return Buffer.concat([
    Uint8Array.of(0x92),
    pack(name.split('/')),
    binaryHead(array.length + length),
    array,
  ])
}

/** The head of a flax array: extension 1 of [shape, dtype name, binary]. */
export function arrayHead(
  dtype: keyof typeof dtypeNames,
  shape: readonly number[],
  length: number,
): Uint8Array {
  const fields = Buffer.concat([
    Uint8Array.of(0x93),
    pack([...shape]),
    pack(dtypeNames[dtype]),
    binaryHead(length),
  ])
  return Buffer.concat([extensionHead(fields.length + length, 1), fields])
}

function binaryHead(length: number): Uint8Array {
  return withLength(length, [0xc4, 0xc5, 0xc6])
}

/** msgpack's fixed sizes are for less than any tensor has, but for 1 to 16 bytes they must be used. */
function extensionHead(length: number, code: number): Uint8Array {
  const fixed = [1, 2, 4, 8, 16].indexOf(length)
  if (fixed >= 0) return Uint8Array.of(0xd4 + fixed, code)
  return Buffer.concat([withLength(length, [0xc7, 0xc8, 0xc9]), Uint8Array.of(code)])
}

/** A type byte and the length in as few bytes as hold it; msgpack has none longer than 32 bits. */
function withLength(length: number, [one, two, four]: [number, number, number]): Uint8Array {
  if (length < 0x100) return Uint8Array.of(one, length)
  const head = Buffer.alloc(length < 0x10000 ? 3 : 5)
  if (length < 0x10000) {
    head[0] = two
    head.writeUInt16BE(length, 1)
  } else {
    head[0] = four
    head.writeUInt32BE(length, 1)
  }
  return head
}
