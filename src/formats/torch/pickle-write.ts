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
  const out: Output = { bytes: new Uint8Array(256), length: 0, memo: new Map() }
  put(out, 0x80, 2, op('}'), op('('))
  for (const { name, key, storageType, shape } of tensors) {
    text(out, name)
    once(out, 'torch._utils\n_rebuild_tensor_v2', global)
    put(out, op('('))

    put(out, op('('))
    once(out, 'storage', text)
    once(out, `torch\n${storageType}`, global)
    text(out, key)
    once(out, 'cpu', text)
    integer(
      out,
      shape.reduce((count, size) => count * size, 1),
    )
    put(out, op('t'), op('Q'))

    integer(out, 0)
    sizes(out, shape)
    sizes(
      out,
      shape.map((_, axis) => shape.slice(axis + 1).reduce((count, size) => count * size, 1)),
    )
    put(out, 0x89)
    once(out, 'collections\nOrderedDict', global)
    put(out, op(')'), op('R'))

    put(out, op('t'), op('R'))
  }
  put(out, op('u'), op('.'))
  return out.bytes.slice(0, out.length)
}

interface Output {
  /** With room for more behind the first `length`. */
  bytes: Uint8Array
  length: number
  /** What stands in the pickle already, and its number there. */
  memo: Map<string, number>
}

const encoder = new TextEncoder()

/** A few bytes more. */
function put(out: Output, ...bytes: number[]): void {
  putAll(out, bytes)
}

function putAll(out: Output, bytes: ArrayLike<number>): void {
  const end = out.length + bytes.length
  if (end > out.bytes.length) {
    const larger = new Uint8Array(2 * end)
    larger.set(out.bytes)
    out.bytes = larger
  }
  out.bytes.set(bytes, out.length)
  out.length = end
}

/** Writes a value and notes it, or recalls it. A state dict has fewer than 256 different ones. */
function once(out: Output, value: string, write: (out: Output, value: string) => void): void {
  const known = out.memo.get(value)
  if (known !== undefined) {
    put(out, op('h'), known)
    return
  }
  write(out, value)
  const number = out.memo.size
  out.memo.set(value, number)
  put(out, op('q'), number)
}

function global(out: Output, lines: string): void {
  put(out, op('c'))
  putAll(out, encoder.encode(`${lines}\n`))
}

function text(out: Output, value: string): void {
  const encoded = encoder.encode(value)
  put(out, op('X'), ...little(encoded.length, 4))
  putAll(out, encoded)
}

function sizes(out: Output, values: readonly number[]): void {
  put(out, op('('))
  for (const value of values) integer(out, value)
  put(out, op('t'))
}

/** A number that is not negative, in the smallest form. */
function integer(out: Output, value: number): void {
  if (value < 2 ** 8) put(out, op('K'), value)
  else if (value < 2 ** 16) put(out, op('M'), ...little(value, 2))
  else if (value < 2 ** 31) put(out, op('J'), ...little(value, 4))
  // Eight bytes hold the sign too: sizes are below 2^53.
  else put(out, 0x8a, 8, ...little(value, 8))
}

function little(value: number, length: number): number[] {
  const bytes: number[] = []
  for (let rest = value; bytes.length < length; rest = Math.floor(rest / 256))
    bytes.push(rest % 256)
  return bytes
}

function op(character: string): number {
  return character.charCodeAt(0)
}
