/**
 * Lets one thread write at a time. Linux holds a file's inode while it writes,
 * and a second writer spins on the processor until it is free: here it sleeps.
 */
export interface Turn {
  take(work: () => void): void
}

/** A turn is a courtesy and no lock: a thread that died holding it delays the others by this, in ms. */
const patience = 1000

const free = 0
const taken = 1

/** What the threads share. */
export function shareTurn(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
}

export function joinTurn(shared: SharedArrayBuffer): Turn {
  const state = new Int32Array(shared)
  return {
    take(work) {
      while (Atomics.compareExchange(state, 0, free, taken) !== free) {
        if (Atomics.wait(state, 0, taken, patience) === 'timed-out') break
      }
      try {
        work()
      } finally {
        Atomics.store(state, 0, free)
        Atomics.notify(state, 0, 1)
      }
    },
  }
}
