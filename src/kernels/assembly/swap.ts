// The byte order of elements, reversed in place: files of big-endian machines hold every element
// the other way round. `n` elements at `address`.

/** Elements of 2 bytes. */
export function swap16(address: usize, n: usize): void {
  const whole = n & ~7
  for (let i: usize = 0; i < whole; i += 8) {
    const at = address + (i << 1)
    const bytes = v128.load(at)
    v128.store(
      at,
      i8x16.shuffle(bytes, bytes, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14),
    )
  }
  for (let i = whole; i < n; i++) {
    const at = address + (i << 1)
    store<u16>(at, bswap<u16>(load<u16>(at)))
  }
}

/** Elements of 4 bytes. */
export function swap32(address: usize, n: usize): void {
  const whole = n & ~3
  for (let i: usize = 0; i < whole; i += 4) {
    const at = address + (i << 2)
    const bytes = v128.load(at)
    v128.store(
      at,
      i8x16.shuffle(bytes, bytes, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12),
    )
  }
  for (let i = whole; i < n; i++) {
    const at = address + (i << 2)
    store<u32>(at, bswap<u32>(load<u32>(at)))
  }
}

/** Elements of 8 bytes; rare, so plain. */
export function swap64(address: usize, n: usize): void {
  for (let i: usize = 0; i < n; i++) {
    const at = address + (i << 3)
    store<u64>(at, bswap<u64>(load<u64>(at)))
  }
}
