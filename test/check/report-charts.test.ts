import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { agreementChart, divergenceChart } from '../../src/check/report-charts.js'

const test = suite('check: charts of a report')

const numbers = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].map(([, number]) => Number(number))
const grid = /<line class="grid" x1="([\d.]+)"/g
const right = /<line class="grid" x1="[\d.]+" x2="([\d.]+)"/g
const labels = (chart: string) =>
  [...chart.matchAll(/text-anchor="end">([^<]*)<\/text>/g)].map(([, text]) => text)

test('positions go from one end of the grid to the other, and one alone is in the middle', () => {
  const positions = [1e-3, 1e-2, 1e-1].map((kld) => ({ kld, agrees: true }))
  const chart = divergenceChart(positions, [])
  const [[begin = 0], [end = 0]] = [numbers(chart, grid), numbers(chart, right)]
  const circles = (text: string) => numbers(text, /<circle [^>]*cx="([\d.]+)"/g)
  assert.equal(circles(chart), [begin, (begin + end) / 2, end])
  assert.equal(circles(divergenceChart(positions.slice(0, 1), [])), [(begin + end) / 2])
  const [points = ''] = /points="([^"]*)"/.exec(agreementChart(positions, null))?.slice(1) ?? []
  assert.equal(
    points.split(' ').map((point) => Number(point.split(',')[0])),
    [begin, (begin + end) / 2, end],
  )
})

test('a larger divergence is higher, and many decades have fewer lines', () => {
  const few = divergenceChart(
    [1e-3, 1e-1].map((kld) => ({ kld, agrees: true })),
    [],
  )
  const heights = numbers(few, /<circle [^>]*cy="([\d.]+)"/g)
  assert.ok((heights[0] ?? 0) > (heights[1] ?? 0))
  assert.equal(labels(few), ['1e-3', '1e-2', '1e-1'])
  const many = divergenceChart(
    [1e-9, 1e3].map((kld) => ({ kld, agrees: true })),
    [],
  )
  assert.equal(labels(many), ['1e-9', '1e-7', '1e-5', '1e-3', '1e-1', '1e1', '1e3'])
})

test.run()
