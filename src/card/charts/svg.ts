import { oneLine } from '../markdown.js'

/**
 * What the charts share. Each is one file without fonts, scripts or addresses, as
 * pictures on a page may have none; it has its own background, because a page's
 * theme and the reader's may differ, and its colours follow the reader's.
 */
export const width = 760

const style = `
  .ground { fill: #ffffff; stroke: #d9dde3 }
  text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #3c4450 }
  .title { font-size: 15px; font-weight: 600; fill: #1b2028 }
  .faint { fill: #6b7482 }
  .grid { stroke: #e6e9ee }
  .axis { stroke: #aab2bd }
  .span { stroke: #d3d8df; stroke-width: 2 }
  .own { fill: #d9480f }
  .first { stroke: #1c6dd0 }
  .second { stroke: #5f6b7a }
  .ring { fill: none; stroke-width: 1.8 }
  .mean { fill: none; stroke: #d9480f; stroke-width: 2; stroke-linejoin: round }
  .range { fill: none; stroke: #1c6dd0; opacity: .4 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #14181f; stroke: #2c333e }
    text { fill: #c3cad5 }
    .title { fill: #eef1f6 }
    .faint { fill: #8d97a6 }
    .grid { stroke: #252b35 }
    .axis { stroke: #4a5464 }
    .span { stroke: #343c48 }
    .own { fill: #ff8a4c }
    .first { stroke: #6fb1ff }
    .second { stroke: #9aa6b6 }
    .mean { stroke: #ff8a4c }
    .range { stroke: #6fb1ff }
  }
`

/** A picture with a title that is read out too. */
export function picture(title: string, summary: string, height: number, inside: string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title summary">
<title id="title">${xml(title)}</title>
<desc id="summary">${xml(summary)}</desc>
<style>${style}</style>
<rect class="ground" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
${inside.join('\n')}
</svg>
`
}

export function label(
  x: number,
  y: number,
  text: string,
  { anchor = 'start', kind = '' }: { anchor?: 'start' | 'middle' | 'end'; kind?: string } = {},
): string {
  const style = kind === '' ? '' : ` class="${kind}"`
  const side = anchor === 'start' ? '' : ` text-anchor="${anchor}"`
  return `<text x="${at(x)}" y="${at(y)}"${side}${style}>${xml(text)}</text>`
}

export function line(kind: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="${kind}" x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}"/>`
}

/** Tenths of a pixel: enough to see, and the same on every machine. */
export function at(value: number): string {
  return String(Math.round(value * 10) / 10)
}

/** Some round values between two, both ends included where they are round. */
export function ticks(low: number, high: number, about: number): number[] {
  const rough = (high - low) / about
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10)
  const first = Math.ceil(low / step - 1e-9)
  const count = Math.floor(high / step + 1e-9) - first + 1
  // Multiplying whole numbers, so that no tick is 0.30000000000000004.
  const places = Math.max(0, -Math.floor(Math.log10(step)))
  return Array.from({ length: Math.max(count, 0) }, (_, i) =>
    Number(((first + i) * step).toFixed(places)),
  )
}

/** Text and attributes: nothing in them is markup. */
function xml(text: string): string {
  return oneLine(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
