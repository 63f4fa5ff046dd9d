import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/**
 * Physical cores that this process may use. Two threads of one core share what multiplies, and
 * slow each other down.
 * @param system where Linux describes its processors
 * @returns undefined where the system has no such description: engines then count for themselves
 */
export function physicalCores(system = '/sys/devices/system/cpu'): number | undefined {
  try {
    const processors = readdirSync(system).filter((name) => /^cpu\d+$/.test(name))
    // Threads of one core give the same list of its threads; a processor that is off has none.
    const cores = new Set(processors.flatMap((name) => siblingsOf(`${system}/${name}`)))
    return cores.size === 0 ? undefined : Math.min(cores.size, availableParallelism())
  } catch {
    return undefined
  }
}

function siblingsOf(processor: string): string[] {
  try {
    return [readFileSync(`${processor}/topology/thread_siblings_list`, 'utf8').trim()]
  } catch {
    return []
  }
}
