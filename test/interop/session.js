// What the live cross-checks share: where they write, how they run programs, and what came of it.
import { spawnSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const fixtures = 'test/fixtures'
export const models = ['tiny-v1', 'tiny-v2']
export const temporary = mkdtempSync(join(tmpdir(), 'openllama-interop-'))
/** How many checks passed and failed. */
export const counts = { passed: 0, failed: 0 }

/** A check that was made here. */
export function report(ok, what) {
  console.log(`${ok ? 'ok' : 'FAILED'} ${what}`)
  if (ok) counts.passed++
  else counts.failed++
}

/**
 * Runs the program, and throws where it fails.
 * @returns what it wrote to stdout
 */
export function openllama(given, env = {}) {
  // These tests are the check.
  const unchecked = given[0] === 'convert' && !given.includes('--check')
  const args = unchecked ? [...given, '--no-check'] : given
  const { status, stdout, stderr } = spawnSync(process.execPath, ['bin/run.js', ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  if (status !== 0) throw new Error(`openllama ${args.join(' ')} ended with ${status}\n${stderr}`)
  return stdout
}

/** Converts a fixture. @returns `out` */
export function convert(model, out, ...args) {
  const source = `${fixtures}/${model}/easylm/streaming_params_bf16`
  const config = `${fixtures}/${model}/config.json`
  openllama(['convert', source, '--config', config, '--out', out, ...args])
  return out
}

/** A script prints `ok …` or `FAILED …` for each of its checks. */
export function check(python, script, ...rest) {
  const [{ env }, args] = typeof rest[0] === 'object' ? [rest[0], rest.slice(1)] : [{}, rest]
  const { status, stdout, stderr } = spawnSync(python, [join('test/interop', script), ...args], {
    encoding: 'utf8',
    env: { ...process.env, HF_HUB_OFFLINE: '1', TOKENIZERS_PARALLELISM: 'false', ...env },
  })
  process.stdout.write(stdout)
  const lines = stdout.split('\n')
  counts.passed += lines.filter((line) => line.startsWith('ok ')).length
  // Some scripts speak JSON instead: one line for all of it.
  if (status === 0 && !lines.some((line) => line.startsWith('ok '))) counts.passed++
  const failures = lines.filter((line) => line.startsWith('FAILED ')).length
  counts.failed += failures
  if (status !== 0 && failures === 0) {
    counts.failed++
    console.log(`FAILED ${script} ${args.join(' ')}: exit ${status}\n${stderr}`)
  }
}
