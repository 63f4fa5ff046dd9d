import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Tile } from '../../src/checkpoint/regions.js'
import { transferTile } from '../../src/checkpoint/regions.js'
import type { Extent, Part, Tensor } from '../../src/checkpoint/tensor.js'
import { equalBytes } from '../support/bytes.js'

const test = suite('convert: regions')

const name = 'model.layers.0.self_attn.v_proj.weight'

function tensor(rows: number, columns: number, transposed: boolean, parts: Part[]): Tensor {
  const shape = transposed ? [columns, rows] : [rows, columns]
  return { name, storedName: name, dtype: 'bf16', shape, layout: { transposed }, parts }
}

interface Run {
  path: string
  offset: number
  position: number
  length: number
}

function runsOf(source: Tensor, tile: Tile): Run[] {
  const runs: Run[] = []
  transferTile(source, tile, (path, offset, position, length) =>
    runs.push({ path, offset, position, length }),
  )
  return runs
}

const extent = (path: string, offset: number, length: number): Extent => ({ path, offset, length })

test('whole rows in one piece are one run', () => {
  const whole = [
    { row: 0, column: 0, rows: 6, columns: 5, pitch: 5, extents: [extent('a', 100, 60)] },
  ]
  assert.equal(runsOf(tensor(6, 5, false, whole), { row: 1, column: 0, rows: 3, columns: 5 }), [
    { path: 'a', offset: 110, position: 0, length: 30 },
  ])
  // Transposed: rows of the canonical matrix are columns of the stored one.
  assert.equal(runsOf(tensor(6, 5, true, whole), { row: 0, column: 2, rows: 5, columns: 2 }), [
    { path: 'a', offset: 120, position: 0, length: 20 },
  ])
})

test('a few columns are one run a row', () => {
  const whole = [
    { row: 0, column: 0, rows: 3, columns: 5, pitch: 5, extents: [extent('a', 0, 30)] },
  ]
  assert.equal(runsOf(tensor(3, 5, false, whole), { row: 1, column: 1, rows: 2, columns: 2 }), [
    { path: 'a', offset: 12, position: 0, length: 4 },
    { path: 'a', offset: 22, position: 4, length: 4 },
  ])
})

test('files that split the rows, and files that split the columns', () => {
  const rows = [
    { row: 0, column: 0, rows: 2, columns: 4, pitch: 4, extents: [extent('a', 7, 16)] },
    { row: 2, column: 0, rows: 2, columns: 4, pitch: 4, extents: [extent('b', 9, 16)] },
  ]
  assert.equal(runsOf(tensor(4, 4, false, rows), { row: 1, column: 0, rows: 2, columns: 4 }), [
    { path: 'a', offset: 15, position: 0, length: 8 },
    { path: 'b', offset: 9, position: 8, length: 8 },
  ])
  const columns = [
    { row: 0, column: 0, rows: 2, columns: 2, pitch: 2, extents: [extent('a', 0, 8)] },
    { row: 0, column: 2, rows: 2, columns: 2, pitch: 2, extents: [extent('b', 0, 8)] },
  ]
  assert.equal(runsOf(tensor(2, 4, false, columns), { row: 0, column: 0, rows: 2, columns: 4 }), [
    { path: 'a', offset: 0, position: 0, length: 4 },
    { path: 'a', offset: 4, position: 8, length: 4 },
    { path: 'b', offset: 0, position: 4, length: 4 },
    { path: 'b', offset: 4, position: 12, length: 4 },
  ])
})

test('a run over several extents is broken where they end', () => {
  const chunks = [extent('a', 50, 6), extent('a', 0, 10), extent('b', 3, 4)]
  const part = [{ row: 0, column: 0, rows: 2, columns: 5, pitch: 5, extents: chunks }]
  assert.equal(runsOf(tensor(2, 5, false, part), { row: 0, column: 0, rows: 2, columns: 5 }), [
    { path: 'a', offset: 50, position: 0, length: 6 },
    { path: 'a', offset: 0, position: 6, length: 10 },
    { path: 'b', offset: 3, position: 16, length: 4 },
  ])
})

test('extents that are too short are a bug, not zeros', () => {
  const short = [{ row: 0, column: 0, rows: 2, columns: 2, pitch: 2, extents: [extent('a', 0, 7)] }]
  assert.throws(
    () => runsOf(tensor(2, 2, false, short), { row: 0, column: 0, rows: 2, columns: 2 }),
    /beyond/,
  )
})

/** A matrix cut into a grid of parts, each with a pitch of its own, in extents of any length. */
const split = fc.record({
  rows: fc.integer({ min: 1, max: 14 }),
  columns: fc.integer({ min: 1, max: 14 }),
  rowCuts: fc.uniqueArray(fc.integer({ min: 1, max: 13 }), { maxLength: 2 }),
  columnCuts: fc.uniqueArray(fc.integer({ min: 1, max: 13 }), { maxLength: 2 }),
  slack: fc.nat(3),
  piece: fc.integer({ min: 1, max: 40 }),
  transposed: fc.boolean(),
  tile: fc.tuple(fc.nat(100), fc.nat(100), fc.nat(100), fc.nat(100)),
})

test('any tile of any split is what plain loops give, to read and to write', () => {
  fc.assert(
    fc.property(
      split,
      ({ rows, columns, rowCuts, columnCuts, slack, piece, transposed, tile: [a, b, c, d] }) => {
        const cutsOf = (size: number, cuts: number[]) => {
          const edges = [0, ...cuts.filter((cut) => cut < size).sort((x, y) => x - y), size]
          return edges
            .slice(1)
            .map((end, i) => ({ start: edges[i] ?? 0, size: end - (edges[i] ?? 0) }))
        }
        const files = new Map<string, Uint8Array>()
        const parts: Part[] = []
        for (const row of cutsOf(rows, rowCuts)) {
          for (const column of cutsOf(columns, columnCuts)) {
            const pitch = column.size + slack
            const path = `part ${parts.length}`
            const run = new Uint8Array(2 * row.size * pitch).fill(0xee)
            for (let r = 0; r < row.size; r++)
              for (let x = 0; x < column.size; x++)
                new DataView(run.buffer).setUint16(
                  2 * (r * pitch + x),
                  (row.start + r) * columns + column.start + x,
                )
            // The extents lie in the file in reverse, a byte apart.
            const extents: Extent[] = []
            const file = new Uint8Array(run.length + Math.ceil(run.length / piece)).fill(0xdd)
            let end = file.length
            for (let at = 0; at < run.length; at += piece) {
              const bytes = run.subarray(at, at + piece)
              end -= bytes.length + 1
              file.set(bytes, end)
              extents.push({ path, offset: end, length: bytes.length })
            }
            files.set(path, file)
            parts.push({
              row: row.start,
              column: column.start,
              rows: row.size,
              columns: column.size,
              pitch,
              extents,
            })
          }
        }
        const source = tensor(rows, columns, transposed, parts)
        const [height, width] = transposed ? [columns, rows] : [rows, columns]
        const [row, column] = [a % height, b % width]
        const tile = {
          row,
          column,
          rows: 1 + (c % (height - row)),
          columns: 1 + (d % (width - column)),
        }

        const stored = transposed
          ? { row: column, column: row, rows: tile.columns, columns: tile.rows }
          : tile
        const expected = new Uint8Array(2 * stored.rows * stored.columns)
        for (let r = 0; r < stored.rows; r++)
          for (let x = 0; x < stored.columns; x++)
            new DataView(expected.buffer).setUint16(
              2 * (r * stored.columns + x),
              (stored.row + r) * columns + stored.column + x,
            )

        const buffer = new Uint8Array(expected.length).fill(0xcc)
        transferTile(source, tile, (path, offset, position, length) => {
          buffer.set(files.get(path)?.subarray(offset, offset + length) ?? [], position)
        })
        equalBytes(buffer, expected, 'what was read')

        // Written back inverted, the tile's elements change, and nothing else.
        const before = new Map([...files].map(([path, bytes]) => [path, Uint8Array.from(bytes)]))
        const inverted = expected.map((byte) => byte ^ 0xff)
        transferTile(source, tile, (path, offset, position, length) => {
          files.get(path)?.set(inverted.subarray(position, position + length), offset)
        })
        let changed = 0
        for (const [path, bytes] of files)
          bytes.forEach((byte, i) => {
            if (byte !== before.get(path)?.[i]) changed++
          })
        assert.is(changed, expected.length)
        transferTile(source, tile, (path, offset, position, length) => {
          buffer.set(files.get(path)?.subarray(offset, offset + length) ?? [], position)
        })
        equalBytes(buffer, inverted, 'what was written')
      },
    ),
    { numRuns: 1500, seed: 5 },
  )
})

test.run()
