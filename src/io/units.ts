import { usageError } from './errors.js'

/** Decimal units are powers of 1000, binary ones of 1024, as in the Hub's own tools. */
const units: Record<string, number> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
}

/**
 * Reads a size such as `5GB`, `512MB` or `1.5GiB`.
 * @returns bytes
 * @throws usage error that names `flag`
 */
export function parseSize(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim())
  const unit = units[match?.[2]?.toUpperCase() ?? '?']
  const bytes = Math.floor(Number(match?.[1]) * (unit ?? Number.NaN))
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw usageError(`${flag} is "${text}", a size such as 512MB or 5GB is expected`)
  }
  return bytes
}

/** Bytes for people: three figures and a decimal unit. */
export function formatBytes(bytes: number): string {
  for (const [unit, size] of [
    ['TB', 1e12],
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ] as const) {
    // What would be rounded up to the next unit is shown in it.
    if (bytes >= size * 0.9995) return `${(bytes / size).toPrecision(3)} ${unit}`
  }
  return `${bytes} B`
}

/** A count for people: 1.24 B, 7.0 M. */
export function formatCount(count: number): string {
  for (const [unit, size] of [
    ['B', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (count >= size * 0.9995) return `${(count / size).toPrecision(3)} ${unit}`
  }
  return String(count)
}

/** Seconds for people: 3 s, 2 min 05 s, 1 h 02 min. */
export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const two = (n: number) => String(n).padStart(2, '0')
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`
}
