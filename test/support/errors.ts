import * as assert from 'uvu/assert'
import { type ErrorCode, OpenLlamaError } from '../../src/io/errors.js'

/** Runs `work` and gives the error of ours it ends with; anything else fails the test. */
export async function failure(work: () => unknown): Promise<OpenLlamaError> {
  try {
    await work()
  } catch (error) {
    if (error instanceof OpenLlamaError) return error
    throw error
  }
  throw new Error('an error is expected, none came')
}

/** Runs `work`, which must fail with `code` and a message that has each of `parts` in it. */
export async function fails(
  work: () => unknown,
  code: ErrorCode,
  ...parts: (string | number)[]
): Promise<OpenLlamaError> {
  const error = await failure(work)
  const whole = [error.message, ...error.suggestions].join('\n')
  assert.is(error.code, code, whole)
  for (const part of parts) assert.ok(whole.includes(String(part)), `"${part}" is not in: ${whole}`)
  return error
}
