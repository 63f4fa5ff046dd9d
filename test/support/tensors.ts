import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Checkpoint } from '../../src/checkpoint/checkpoint.js'
import {
  type ConvertOptions,
  type ConvertResult,
  prepareConversion,
  type RunOptions,
  runConversion,
} from '../../src/convert/convert.js'
import { openCheckpoint } from '../../src/open/open.js'
import { tempDir } from './temp.js'

/** Converts into a new directory. */
export async function convert(
  source: string,
  options: Pick<ConvertOptions, 'to'> & Partial<ConvertOptions>,
  run: Partial<RunOptions> = {},
): Promise<ConvertResult> {
  const conversion = await prepareConversion(source, {
    out: join(tempDir(), 'out'),
    dtype: 'auto',
    maxMemory: 64 * 2 ** 20,
    threads: 2,
    // The models that most tests make up have heads that not all formats can say.
    allowLoss: true,
    ...options,
  })
  return runConversion(conversion, {
    resume: false,
    force: false,
    allowNonFinite: false,
    allowOverflow: false,
    sha256: true,
    ...run,
  })
}

/** By Hugging Face's names, the hash of each tensor's f32 bytes, by way of safetensors. */
export async function f32Hashes(source: string): Promise<Record<string, string>> {
  const { out } = await convert(source, { to: 'safetensors', dtype: 'f32' })
  return tensorHashes(await openCheckpoint(out))
}

/** By Hugging Face's names, the hash of each tensor's bytes; of tensors in one piece each. */
export function tensorHashes(checkpoint: Checkpoint): Record<string, string> {
  const hashes: Record<string, string> = {}
  for (const { name, parts } of checkpoint.tensors.values()) {
    const hash = createHash('sha256')
    for (const { path, offset, length } of parts.flatMap(({ extents }) => extents)) {
      hash.update(readFileSync(path).subarray(offset, offset + length))
    }
    hashes[name] = hash.digest('hex')
  }
  return hashes
}
