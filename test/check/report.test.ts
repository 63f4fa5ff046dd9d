import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium } from 'playwright-core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { CheckResult } from '../../src/check/check.js'
import { checkReportPath, reportPage, writeReport } from '../../src/check/report.js'
import { fails } from '../support/errors.js'
import { tempDir } from '../support/temp.js'

const hostile = '<script>document.title = "caught"</script> & "quotes" <img src=x onerror=alert(1)>'

/** 40 positions, of which every tenth disagrees; one divergence is 0, which has no logarithm. */
const positions = Array.from({ length: 40 }, (_, i) => ({
  kld: i === 7 ? 0 : 10 ** -(1 + (i % 5)),
  agrees: i % 10 !== 9,
}))

const failed: CheckResult = {
  record: {
    verdict: 'failed',
    engine: 'llama.cpp',
    device: 'cpu',
    smoke: { prompt: `Q: ${hostile}`, continuation: ' A whale.', tokens: 3, faults: [] },
    parity: {
      against: { name: hostile, format: 'safetensors', dtype: 'bf16', engine: 'onnxruntime' },
      engine: 'onnxruntime',
      positions: 40,
      metrics: [
        { name: 'kld_mean', value: 0.0222, limit: 0.01, passed: false },
        { name: 'kld_p999', value: 0.1, limit: 1, passed: true },
        { name: 'top1_agreement', value: 0.9, limit: 0.95, passed: false },
        { name: 'perplexity', value: 12.3456, limit: null, passed: true },
      ],
      rounded: [{ name: 'nmse', value: 0.000321, limit: 0.0001, passed: false }],
      faults: ['q_proj of layer 3 is in the other rotary order'],
      greedy: { common: 2, of: 3 },
      departure: { layer: 3, cause: 'rotary order', detail: '' },
    },
    notes: [hostile],
  },
  type: 'q4_k',
  tokensPerSecond: 10,
  positions,
  continuations: { artifact: ' A whale.', source: ` A ${hostile}` },
}

const { smoke } = failed.record
const passed: CheckResult = {
  ...failed,
  record: { verdict: 'passed', engine: 'onnxruntime', device: 'cpu', smoke, notes: [] },
  positions: [],
  continuations: { artifact: ' A whale.' },
}

const test = suite('check: report')

test('is replaced by the next report, and replaces nothing else', async () => {
  const path = join(tempDir(), 'report.html')
  await checkReportPath(path)
  await writeReport(path, reportPage('a', failed))
  await checkReportPath(path)
  await writeReport(path, reportPage('a', passed))
  assert.is(readFileSync(path, 'utf8'), reportPage('a', passed))
  const other = join(tempDir(), 'thesis.html')
  writeFileSync(other, '<!doctype html>\n<p>mine</p>')
  await fails(() => checkReportPath(other), 'usage', other, 'no report')
  await fails(() => writeReport(other, reportPage('a', passed)), 'usage', other)
  assert.is(readFileSync(other, 'utf8'), '<!doctype html>\n<p>mine</p>')
})

test('a fault is told once, though it is a cause too', () => {
  const fault = 'layers.3.q_proj: it is in the other rotary order'
  const { parity } = failed.record
  assert.ok(parity)
  const page = (departure: { layer: number | null; detail: string }) =>
    reportPage('a', {
      ...failed,
      record: {
        ...failed.record,
        parity: { ...parity, faults: [fault, fault], departure: { ...departure, cause: fault } },
      },
    })
  const [, list = ''] =
    /What is wrong<\/h2>\s*<ul>([\s\S]*?)<\/ul>/.exec(page({ layer: 3, detail: fault })) ?? []
  assert.is(list.trim(), `<li>${fault}</li>\n<li>departs first in layer 3</li>`)
  assert.is(page({ layer: null, detail: fault }).split(fault).length, 2)
})

test('text of any kind stays text, in its place', () => {
  const evil = '</script></style></title>"\'><img src=x onerror=a>\u202eb\u2066\u0085\u001b[2J<!--'
  const { parity } = failed.record
  assert.ok(parity)
  const page = reportPage(evil, {
    ...failed,
    type: evil,
    record: {
      ...failed.record,
      device: evil,
      smoke: { prompt: evil, continuation: evil, tokens: 3, faults: [evil] },
      parity: {
        ...parity,
        against: { name: evil, format: evil, dtype: evil, engine: 'onnxruntime' },
        faults: [`a ${evil}`],
        departure: { layer: 0, cause: `b ${evil}`, detail: evil },
      },
      notes: [evil],
    },
    continuations: { artifact: evil, source: evil },
  })
  const known = reportPage('', { ...failed, record: { ...failed.record, notes: [''] } })
  // As many tags as without it: one style, one title, no comment but our own.
  for (const tag of ['<style', '</style', '<title', '</title', '<!--', '<script', '<img']) {
    assert.is(page.split(tag).length, known.split(tag).length, tag)
  }
  assert.not.match(page, /[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]/u)
})

/** Where Debian, macOS and CI images have one; CHROMIUM names another. */
const executablePath = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
].find((path) => path !== undefined && existsSync(path))

if (executablePath === undefined) console.log('skipped: no Chromium is here to show the report in')
else {
  let browser: Browser
  test.before(async () => {
    browser = await chromium.launch({
      executablePath,
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    })
  })
  test.after(() => browser.close())

  const show = async (result: CheckResult, width = 900) => {
    const path = join(tempDir(), 'report.html')
    await writeReport(path, reportPage(`${hostile}.gguf`, result))
    const page = await browser.newPage({ viewport: { width, height: 900 } })
    const requests: string[] = []
    const errors: string[] = []
    page.on('request', (request) => requests.push(request.url()))
    page.on('pageerror', (error) => errors.push(String(error)))
    page.on('console', (message) => errors.push(message.text()))
    const url = pathToFileURL(path).href
    await page.goto(url)
    assert.equal(requests, [url], 'everything is in the one file')
    assert.equal(errors, [])
    assert.is(await page.locator('script, img').count(), 0, 'no text became markup')
    return page
  }

  test('a browser shows verdict, figures, charts and both continuations', async () => {
    const page = await show(failed)
    assert.is(await page.locator('.verdict').textContent(), 'Failed')
    assert.equal(await page.locator('tbody tr.failed th').allTextContents(), [
      'KL divergence, mean',
      'same likeliest token',
      'normalised square error',
    ])
    const headings = await page.locator('h3').allTextContents()
    assert.ok(headings.includes('As llama.cpp computes it, which rounds activations to q4_k'))
    assert.equal(await page.locator('tbody tr').first().locator('td').allTextContents(), [
      '0.022',
      '≤ 0.010',
      'exceeded',
    ])
    assert.ok((await page.locator('ul').first().textContent())?.includes('layer 3: rotary order'))
    const [divergence, agreement] = await page.locator('svg').all()
    if (divergence === undefined || agreement === undefined) throw new Error('two charts are due')
    assert.is(await divergence.locator('circle').count(), 40)
    assert.is(await divergence.locator('circle.differs').count(), 4)
    assert.is(await divergence.locator('line.limit').count(), 2)
    assert.is(await agreement.locator('line.differs').count(), 4)
    assert.is(await agreement.locator('line.limit').count(), 1)
    // A larger divergence is higher up, and nothing lies outside of its chart.
    const frame = await divergence.boundingBox()
    const dots = await Promise.all(
      (await divergence.locator('circle').all()).map((dot) => dot.boundingBox()),
    )
    const tops = dots.map((box) => box?.y ?? Number.NaN)
    assert.ok((tops[0] ?? 0) < (tops[1] ?? 0), '0.1 is above 0.01')
    assert.is(tops.indexOf(Math.max(...tops)), 7, 'nothing is below 0')
    for (const box of dots) {
      assert.ok(frame && box && box.x >= frame.x && box.x + box.width <= frame.x + frame.width)
      assert.ok(frame && box && box.y >= frame.y && box.y + box.height <= frame.y + frame.height)
    }
    assert.equal(await page.locator('pre b').allTextContents(), [' A whale.', ` A ${hostile}`])
    const sides = await page.locator('figure').all()
    const [left, right] = await Promise.all(sides.map((side) => side.boundingBox()))
    assert.ok(left && right && left.y === right.y && left.x + left.width <= right.x, 'side by side')
  })

  test('without a source there is nothing to compare', async () => {
    const page = await show(passed)
    assert.is(await page.locator('.verdict').textContent(), 'Passed')
    assert.equal(await page.locator('h2').allTextContents(), ['What they say'])
    assert.is(await page.locator('svg').count(), 0)
  })

  test('fits a telephone', async () => {
    const page = await show(failed, 360)
    const wide = await page.evaluate('document.documentElement.scrollWidth')
    assert.ok(Number(wide) <= 360, `${wide} pixels`)
  })
}

test.run()
