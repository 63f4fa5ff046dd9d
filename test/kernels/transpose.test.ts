import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loadKernels } from '../../src/kernels/kernels.js'
import { equalBytes } from '../support/bytes.js'

const room = 8 * 1024 * 1024
const kernels = loadKernels(2 * room)
const source = kernels.base
const target = kernels.base + room

const test = suite('kernels: transposition')

test('16 bits: every shape up to 40 × 40', () => everyShape(2))
test('32 bits: every shape up to 40 × 40', () => everyShape(4))

for (const [rows, columns] of [
  [1027, 515],
  [512, 2048],
  [3, 100_000],
  [100_000, 1],
] as const) {
  test(`${rows} × ${columns}`, () => {
    check(rows, columns, 2)
    check(rows, columns, 4)
  })
}

test.run()

function everyShape(size: 2 | 4): void {
  for (let rows = 1; rows <= 40; rows++) {
    for (let columns = 1; columns <= 40; columns++) check(rows, columns, size)
  }
}

/** Numbers its elements, so that each is told from all others, and looks for each in its place. */
function check(rows: number, columns: number, size: 2 | 4): void {
  const count = rows * columns
  const numbers = (length: number) =>
    size === 2 ? new Uint16Array(length) : new Uint32Array(length)
  const input = numbers(count)
  for (let i = 0; i < count; i++) input[i] = i * 2654435761 + 12345
  const expected = numbers(count)
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) expected[c * rows + r] = input[r * columns + c] ?? 0
  }
  kernels.bytes(source, count * size).set(new Uint8Array(input.buffer))
  const behind = kernels.bytes(target + count * size, 64)
  behind.fill(0xa5)
  const transpose = size === 2 ? kernels.transpose16 : kernels.transpose32
  transpose(source, target, rows, columns)
  equalBytes(
    kernels.bytes(target, count * size),
    new Uint8Array(expected.buffer),
    `${rows} × ${columns} of ${size} bytes`,
  )
  assert.ok(
    behind.every((byte) => byte === 0xa5),
    `${rows} × ${columns}: bytes behind the output were written`,
  )
}
