/** A tensor of a state dict that is to be pickled; row-major, from the start of its storage. */
export interface PickledTensor {
  name: string
  /** Of its storage; several tensors may have the same. */
  key: string
  /** torch's name: HalfStorage. */
  storageType: string
  shape: readonly number[]
}

/**
 * The pickle of a state dict, in protocol 2, of the opcodes that torch's own
 * restricted unpickler knows: a dictionary of tensors, each the call
 * _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()).
 */
export function pickleStateDict(tensors: readonly PickledTensor[]): Uint8Array {
  const out: Output = { bytes: [0x80, 2], memo: new Map() }
  out.bytes.push(op('}'), op('('))
  for (const { name, key, storageType, shape } of tensors) {
    text(out, name)
    once(out, 'torch._utils\n_rebuild_tensor_v2', global)
    out.bytes.push(op('('))

    out.bytes.push(op('('))
    once(out, 'storage', text)
    once(out, `torch\n${storageType}`, global)
    text(out, key)
    once(out, 'cpu', text)
    integer(
      out,
      shape.reduce((count, size) => count * size, 1),
    )
    out.bytes.push(op('t'), op('Q'))

    integer(out, 0)
    sizes(out, shape)
    sizes(
      out,
      shape.map((_, axis) => shape.slice(axis + 1).reduce((count, size) => count * size, 1)),
    )
    out.bytes.push(0x89)
    once(out, 'collections\nOrderedDict', global)
    out.bytes.push(op(')'), op('R'))

    out.bytes.push(op('t'), op('R'))
  }
  out.bytes.push(op('u'), op('.'))
  return Uint8Array.from(out.bytes)
}

interface Output {
  bytes: number[]
  /** What stands in the pickle already, and its number there. */
  memo: Map<string, number>
}

/** Writes a value and notes it, or recalls it. A state dict has fewer than 256 different ones. */
function once(out: Output, value: string, write: (out: Output, value: string) => void): void {
  const known = out.memo.get(value)
  if (known !== undefined) {
    out.bytes.push(op('h'), known)
    return
  }
  write(out, value)
  const number = out.memo.size
  out.memo.set(value, number)
  out.bytes.push(op('q'), number)
}

function global(out: Output, lines: string): void {
  out.bytes.push(op('c'), ...new TextEncoder().encode(`${lines}\n`))
}

function text(out: Output, value: string): void {
  const encoded = new TextEncoder().encode(value)
  out.bytes.push(op('X'), ...little(encoded.length, 4), ...encoded)
}

function sizes(out: Output, values: readonly number[]): void {
  out.bytes.push(op('('))
  for (const value of values) integer(out, value)
  out.bytes.push(op('t'))
}

/** A number that is not negative, in the smallest form. */
function integer(out: Output, value: number): void {
  if (value < 2 ** 8) out.bytes.push(op('K'), value)
  else if (value < 2 ** 16) out.bytes.push(op('M'), ...little(value, 2))
  else if (value < 2 ** 31) out.bytes.push(op('J'), ...little(value, 4))
  // Eight bytes hold the sign too: sizes are below 2^53.
  else out.bytes.push(0x8a, 8, ...little(value, 8))
}

function little(value: number, length: number): number[] {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
  return [...bytes.subarray(0, length)]
}

function op(character: string): number {
  return character.charCodeAt(0)
}
