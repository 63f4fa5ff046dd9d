import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type ConvertOptions,
  type ConvertResult,
  prepareConversion,
  runConversion,
} from '../../src/convert/convert.js'

/** Converts in this thread, without looking away from anything unusual. */
export async function convert(
  source: string,
  out: string,
  options: Partial<ConvertOptions> & Pick<ConvertOptions, 'to'>,
): Promise<ConvertResult> {
  const conversion = await prepareConversion(source, {
    dtype: 'auto',
    maxMemory: 64 * 1024 * 1024,
    threads: 1,
    // The model that most tests make up has heads that not all formats can say.
    allowLoss: true,
    ...options,
    out,
  })
  return runConversion(conversion, {
    resume: false,
    force: false,
    allowNonFinite: false,
    allowOverflow: false,
    sha256: true,
  })
}

/** A file that a conversion wrote. */
export function written(...path: string[]): Uint8Array {
  return readFileSync(join(...path))
}
