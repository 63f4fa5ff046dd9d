import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { lossChart } from '../../../src/card/charts/loss.js'
import { ticks } from '../../../src/card/charts/svg.js'
import { parseLoss } from '../../../src/card/loss.js'
import { fails } from '../../support/errors.js'

const test = suite('card: training loss')

const points = [
  { at: 1, loss: 10.5 },
  { at: 2, loss: 9 },
  { at: 4, loss: 3.25 },
]

const logs: [what: string, text: string, unit: string][] = [
  ['CSV', 'step,loss,lr\n1,10.5,0.1\n2,9,0.1\n4,3.25,0.1\n', 'step'],
  ['CSV of Windows', '\uFEFF"lr","Loss","Step"\r\n0.1,10.5,1\r\n0.1,9,2\r\n0.1,3.25,4\r\n', 'Step'],
  [
    'CSV with other columns and lines without a loss',
    'time,tokens,train_loss\nmonday,1,10.5\ntuesday,2,9\nwednesday,3,\n,4,3.25\n',
    'tokens',
  ],
  [
    'JSON lines',
    '{"step": 1, "loss": 10.5, "note": "x"}\n\n{"step": 2, "loss": 9}\n{"eval_loss": 1, "step": 3}\n{"step": 4, "loss": 3.25}',
    'step',
  ],
  [
    'a run that was resumed',
    '{"step":1,"loss":10.5}\n{"step":2,"loss":9}\n{"step":4,"loss":7}\n{"step":2,"loss":9}\n{"step":4,"loss":3.25}',
    'step',
  ],
]

for (const [what, text, unit] of logs) {
  test(`read: ${what}`, () => {
    const curve = parseLoss(text, 'log')
    assert.is(curve.unit, unit)
    assert.equal(curve.points, points)
  })
}

test('without a counter the lines count', () => {
  assert.equal(parseLoss('loss\n2\n1\n', 'log').points, [
    { at: 0, loss: 2 },
    { at: 1, loss: 1 },
  ])
})

const malformed: [what: string, text: string, ...parts: string[]][] = [
  ['nothing', '', 'no names of columns'],
  ['no head', '1,2\n3,4\n', 'no names of columns', 'step,loss'],
  ['no loss', 'step,accuracy\n1,2\n', 'has no "loss"', '"accuracy"'],
  ['one value', 'step,loss\n1,2\n', '1 values', 'needs two'],
  ['a short line', 'step,loss\n1,2\n3\n', 'line 3', '1 columns', '2'],
  ['a word', 'step,loss\n1,2\n2,high\n', 'line 3', '"high"'],
  ['NaN', 'step,loss\n1,2\n2,nan\n', 'line 3', 'no finite number'],
  ['infinity', 'step,loss\n1,2\n2,1e999\n', 'line 3', 'no finite number'],
  ['no step', '{"loss":1,"step":1}\n{"loss":2}\n', 'line 2', 'no step'],
  ['half a line', '{"loss":1,"step":1}\n{"loss":2,\n', 'line 2', 'no JSON'],
  ['a list', '{"loss":1,"step":1}\n[1]\n', 'line 2', 'no JSON object'],
]

for (const [what, text, ...parts] of malformed) {
  test(`refused: ${what}`, async () => {
    await fails(() => parseLoss(text, 'log'), 'input', 'log', ...parts)
  })
}

test('the curve begins and ends where the log does, within its axes', () => {
  const svg = lossChart('<T> & "x"', parseLoss('step,loss\n0,4\n50,2\n100,3\n', 'log'))
  const [, d = ''] = /class="mean" d="([^"]+)"/.exec(svg) ?? []
  const places = [...d.matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)])
  assert.equal(
    places.map(([x]) => x),
    [64, 398, 732],
  )
  const [first = 0, second = 0, third = 0] = places.map(([, y]) => y)
  // Twice as far down from 4 to 2 as up again from 2 to 3.
  assert.ok(Math.abs((second - first) / (second - third) - 2) < 0.01)
  assert.match(svg, '&lt;T&gt; &amp; &quot;x&quot;')
  assert.not.match(svg, '<T>')
})

test('a million values take no more than a picture’s room, and spikes are seen', () => {
  const special = new Map([
    [777_777, 50],
    [333_333, -50],
  ])
  const losses = Array.from({ length: 1_000_000 }, (_, at) => ({ at, loss: special.get(at) ?? 1 }))
  const svg = lossChart('t', { unit: 'step', name: 'loss', points: losses })
  assert.ok(svg.length < 60_000, `${svg.length}`)
  const [, d = ''] = /class="range" d="([^"]+)"/.exec(svg) ?? []
  const heights = [...d.matchAll(/ ([\d.]+)/g)].map(([, y]) => Number(y))
  // The axis goes from 340 up to 60, with a little room at both ends.
  assert.ok(Math.min(...heights) < 80)
  assert.ok(Math.max(...heights) > 320)
})

test('ticks are round', () => {
  assert.equal(ticks(0.1, 1, 9), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
  assert.equal(ticks(0, 7000, 7), [0, 1000, 2000, 3000, 4000, 5000, 6000, 7000])
  assert.equal(ticks(-0.03, 0.04, 4), [-0.02, 0, 0.02, 0.04])
})

test.run()
