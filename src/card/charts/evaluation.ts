import { averageRow, evaluatedModels, evaluations } from '../results/evaluations.js'
import { at, label, line, picture, ticks, width } from './svg.js'

const left = 190
const right = width - 28
const top = 78
const step = 24

/**
 * The published evaluation of a release as a dot for each task, beside LLaMA's of
 * the same size and GPT-J's.
 * @param column of the release in `evaluations`
 */
export function evaluationChart(column: number): string {
  const own = evaluatedModels[column]
  const llama = own?.id === 'open_llama_13b' ? 'llama-13b' : 'llama-7b'
  const others = [llama, 'gpt-j-6b'].flatMap((id) => {
    const index = evaluatedModels.findIndex((model) => model.id === id)
    return index === -1 ? [] : [index]
  })
  const series = [column, ...others]
  const low = 0.1
  const high = 1
  const x = (value: number) => left + ((value - low) / (high - low)) * (right - left)
  const bottom = top + evaluations.length * step
  const inside: string[] = [label(24, 32, `${own?.title}: published evaluation`, { kind: 'title' })]
  let start = 24
  series.forEach((index, i) => {
    const name = evaluatedModels[index]?.title ?? ''
    inside.push(dot(i, start + 6, 51), label(start + 19, 55, name))
    // Some seven pixels a letter, whatever the font.
    start += 19 + name.length * 7 + 28
  })
  for (const tick of ticks(low, high, 9)) {
    inside.push(line('grid', x(tick), top, x(tick), bottom))
    inside.push(label(x(tick), bottom + 18, tick.toFixed(1), { anchor: 'middle', kind: 'faint' }))
  }
  inside.push(
    label((left + right) / 2, bottom + 38, 'score (higher is better)', {
      anchor: 'middle',
      kind: 'faint',
    }),
  )
  evaluations.forEach(([task, ...values], row) => {
    const y = top + row * step + step / 2
    const shown = series.map((index) => values[index] ?? 0)
    // The mean of the rows above stands apart from them.
    if (task === averageRow) inside.push(line('axis', 24, y - step / 2, right, y - step / 2))
    inside.push(label(left - 16, y + 4, task, { anchor: 'end' }))
    inside.push(line('span', x(Math.min(...shown)), y, x(Math.max(...shown)), y))
    // The release's own dot lies on top.
    for (let i = series.length - 1; i >= 0; i--) inside.push(dot(i, x(shown[i] ?? 0), y))
  })
  const mean = evaluations.find(([task]) => task === averageRow)?.slice(1)
  const summary = `Mean over ${evaluations.length - 1} figures: ${series
    .map((index) => `${evaluatedModels[index]?.title} ${mean?.[index]}`)
    .join(', ')}.`
  return picture(`${own?.title}: published evaluation`, summary, bottom + 54, inside)
}

/** Of different forms and sizes: told apart without colours, and seen where they coincide. */
function dot(series: number, x: number, y: number): string {
  if (series === 0) return `<circle class="own" cx="${at(x)}" cy="${at(y)}" r="4.5"/>`
  if (series === 1) return `<circle class="ring first" cx="${at(x)}" cy="${at(y)}" r="6"/>`
  const side = 11
  return `<rect class="ring second" x="${at(x - side / 2)}" y="${at(y - side / 2)}" width="${side}" height="${side}"/>`
}
