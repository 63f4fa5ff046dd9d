import type { BigIntStats, Stats } from 'node:fs'
import { lstat, readFile, stat } from 'node:fs/promises'
import { fromSystemError, OpenLlamaError } from './errors.js'

// What may be at a path and need not. That nothing is there is one thing, and that the disk does
// not say so is another: who takes an error for nothing writes something else without a word.

/** What is at a path, links followed; undefined where nothing is. */
export function statThere(path: string): Promise<Stats | undefined> {
  return there(path, () => stat(path))
}

/** The same, with the times and numbers of the system in full. */
export function exactStatThere(path: string): Promise<BigIntStats | undefined> {
  return there(path, () => stat(path, { bigint: true }))
}

/** What is at a path itself, also a link. */
export function lstatThere(path: string): Promise<Stats | undefined> {
  return there(path, () => lstat(path))
}

/** A small text; empty where nothing is. */
export async function readThere(path: string): Promise<string> {
  return (await there(path, () => readFile(path, 'utf8'))) ?? ''
}

async function there<T>(path: string, look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw fromSystemError(error, path, 'look there')
  }
}

/** For a file that need not be there, nor be what its name says: all but what it holds is an error. */
export function undefinedForInput(error: unknown): undefined {
  if (error instanceof OpenLlamaError && error.code === 'input') return undefined
  throw error
}
