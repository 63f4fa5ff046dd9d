import type { Position } from './parity.js'

/** What the charts have in common, in pixels. */
const width = 760
const height = 220
const margin = { left: 56, right: 16, top: 12, bottom: 28 }
const inner = {
  width: width - margin.left - margin.right,
  height: height - margin.top - margin.bottom,
}

/** Below this a divergence is the arithmetic's own noise, and a logarithm of 0 has no place. */
const floor = 1e-10

interface Line {
  value: number
  label: string
}

/** KL divergence at each position on a logarithmic scale, with the limits as lines. */
export function divergenceChart(positions: readonly Position[], limits: readonly Line[]): string {
  const logs = positions.map(({ kld }) => Math.log10(Math.max(kld, floor)))
  const ends = [...logs, ...limits.map(({ value }) => Math.log10(Math.max(value, floor)))]
  const low = Math.floor(Math.min(...ends))
  const high = Math.max(Math.ceil(Math.max(...ends)), low + 1)
  const y = (log: number) => margin.top + (1 - (log - low) / (high - low)) * inner.height
  const decades = Array.from({ length: high - low + 1 }, (_, i) => low + i)
  const step = Math.ceil(decades.length / 7)
  return chart('KL divergence at each position, in nats', [
    ...decades.filter((_, i) => i % step === 0).map((log) => level(y(log), `1e${log}`, 'grid')),
    ...logs.map(
      (log, i) =>
        `<circle class="${positions[i]?.agrees ? 'agrees' : 'differs'}" cx="${at(xOf(i, positions.length))}" cy="${at(y(log))}" r="2"/>`,
    ),
    ...limits.map(({ value, label }) => limit(y(Math.log10(Math.max(value, floor))), label)),
    ...positionTicks(positions.length),
  ])
}

/** The share of positions so far at which both give the same token, with a mark where they do not. */
export function agreementChart(positions: readonly Position[], least: number | null): string {
  let same = 0
  const shares = positions.map(({ agrees }, i) => {
    if (agrees) same++
    return same / (i + 1)
  })
  const low = Math.floor(10 * Math.min(...shares, least ?? 1, 0.9)) / 10
  const y = (share: number) => margin.top + (1 - (share - low) / (1 - low)) * inner.height
  const points = shares.map((share, i) => `${at(xOf(i, positions.length))},${at(y(share))}`)
  const tenths = Array.from({ length: Math.round(10 * (1 - low)) + 1 }, (_, i) => low + i / 10)
  const step = Math.ceil(tenths.length / 6)
  return chart('Share of positions with the same likeliest token, so far', [
    ...tenths
      .filter((_, i) => i % step === 0 || i === tenths.length - 1)
      .map((share) => level(y(share), `${Math.round(100 * share)} %`, 'grid')),
    `<polyline class="share" points="${points.join(' ')}"/>`,
    ...positions.flatMap(({ agrees }, i) => {
      if (agrees) return []
      const x = at(xOf(i, positions.length))
      return [
        `<line class="differs" x1="${x}" x2="${x}" y1="${margin.top + inner.height - 8}" y2="${margin.top + inner.height}"/>`,
      ]
    }),
    ...(least === null ? [] : [limit(y(least), 'limit')]),
    ...positionTicks(positions.length),
  ])
}

function chart(title: string, inside: string[]): string {
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
${inside.join('\n')}
</svg>`
}

function xOf(position: number, count: number): number {
  return margin.left + (count === 1 ? 0.5 : position / (count - 1)) * inner.width
}

function level(y: number, label: string, kind: string): string {
  return `<line class="${kind}" x1="${margin.left}" x2="${width - margin.right}" y1="${at(y)}" y2="${at(y)}"/>
<text class="tick" x="${margin.left - 8}" y="${at(y + 4)}" text-anchor="end">${label}</text>`
}

function limit(y: number, label: string): string {
  return `<line class="limit" x1="${margin.left}" x2="${width - margin.right}" y1="${at(y)}" y2="${at(y)}"/>
<text class="limit" x="${width - margin.right}" y="${at(y - 4)}" text-anchor="end">${label}</text>`
}

function positionTicks(count: number): string[] {
  const middle = Math.floor((count - 1) / 2)
  return [...new Set([0, middle, count - 1])].map(
    (i) =>
      `<text class="tick" x="${at(xOf(i, count))}" y="${height - 8}" text-anchor="middle">${i + 1}</text>`,
  )
}

/** Tenths of a pixel. */
function at(value: number): string {
  return value.toFixed(1)
}
