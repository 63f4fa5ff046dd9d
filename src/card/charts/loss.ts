import { formatCount } from '../../io/units.js'
import type { LossCurve } from '../loss.js'
import { at, label, line, picture, ticks, width } from './svg.js'

const left = 64
const right = width - 28
const top = 60
const bottom = 340

/** Points that are drawn: about one for each pixel. */
const columns = 690

/** A training run's loss: each value pale, and their moving mean. */
export function lossChart(title: string, { unit, name, points }: LossCurve): string {
  const xs = points.map((point) => point.at)
  const [first, last] = [Math.min(...ends(xs)), Math.max(...ends(xs))]
  const drawn = thin(points)
  const values = drawn.flatMap(({ low, high }) => [low, high])
  const [low, high] = padded(Math.min(...values), Math.max(...values))
  const x = (value: number) => left + ((value - first) / (last - first)) * (right - left)
  const y = (value: number) => bottom - ((value - low) / (high - low)) * (bottom - top)
  const inside = [
    label(24, 32, title, { kind: 'title' }),
    line('range', right - 190, 28, right - 168, 28),
    label(right - 160, 32, 'loss'),
    line('mean', right - 118, 28, right - 96, 28),
    label(right, 32, 'moving mean', { anchor: 'end' }),
  ]
  for (const tick of ticks(low, high, 6)) {
    inside.push(line('grid', left, y(tick), right, y(tick)))
    inside.push(label(left - 10, y(tick) + 4, String(tick), { anchor: 'end', kind: 'faint' }))
  }
  for (const tick of ticks(first, last, 7)) {
    inside.push(line('axis', x(tick), bottom, x(tick), bottom + 5))
    inside.push(label(x(tick), bottom + 20, countLabel(tick), { anchor: 'middle', kind: 'faint' }))
  }
  inside.push(line('axis', left, bottom, right, bottom))
  inside.push(label((left + right) / 2, bottom + 42, unit, { anchor: 'middle', kind: 'faint' }))
  inside.push(
    path(
      'range',
      drawn.flatMap((p) => [
        [x(p.at), y(p.low)],
        [x(p.at), y(p.high)],
      ]),
    ),
  )
  inside.push(
    path(
      'mean',
      smooth(drawn).map(({ at, mean }) => [x(at), y(mean)]),
    ),
  )
  const end = points.at(-1)
  const summary = `${name} over ${unit}: ${points[0]?.loss} at ${points[0]?.at}, ${end?.loss} at ${end?.at}.`
  return picture(title, summary, bottom + 58, inside)
}

interface Drawn {
  at: number
  low: number
  high: number
  mean: number
}

/** At most one group of points a pixel, with the extremes in it: no spike is lost. */
function thin(points: LossCurve['points']): Drawn[] {
  const size = Math.max(1, points.length / columns)
  const drawn: Drawn[] = []
  for (let start = 0; start < points.length; start += size) {
    const group = points.slice(Math.floor(start), Math.max(Math.floor(start + size), 1))
    const middle = group[Math.floor(group.length / 2)]
    if (middle === undefined) continue
    let [low, high, sum] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0]
    for (const { loss } of group) {
      low = Math.min(low, loss)
      high = Math.max(high, loss)
      sum += loss
    }
    drawn.push({ at: middle.at, low, high, mean: sum / group.length })
  }
  return drawn
}

/**
 * The mean of the neighbours on both sides: fewer towards the ends, and at the start, where the loss
 * falls too steeply for a wide mean to lie on the curve.
 */
function smooth(drawn: readonly Drawn[]): { at: number; mean: number }[] {
  const reach = Math.floor(drawn.length / 50)
  return drawn.map(({ at }, i) => {
    const own = Math.min(reach, Math.floor(i / 6), drawn.length - 1 - i)
    const near = drawn.slice(i - own, i + own + 1)
    return { at, mean: near.reduce((sum, { mean }) => sum + mean, 0) / near.length }
  })
}

function ends(sorted: readonly number[]): [number, number] {
  return [sorted[0] ?? 0, sorted.at(-1) ?? 1]
}

function padded(low: number, high: number): [number, number] {
  const room = high > low ? (high - low) * 0.05 : Math.abs(high) * 0.05 || 1
  return [low - room, high + room]
}

function countLabel(count: number): string {
  if (Math.abs(count) < 1000) return String(count)
  return formatCount(count)
    .replace(/(\.\d*?)0+ /, '$1 ')
    .replace('. ', ' ')
}

function path(kind: string, points: readonly (readonly number[])[]): string {
  const commands = points.map(([x = 0, y = 0], i) => `${i === 0 ? 'M' : 'L'}${at(x)} ${at(y)}`)
  return `<path class="${kind}" d="${commands.join('')}"/>`
}
