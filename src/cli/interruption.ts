import { setTimeout } from 'node:timers'

/** What asks a program to end: Ctrl-C, `kill`, and a terminal that is closed. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Milliseconds in which work comes to rest by itself; who presses Ctrl-C waits for no more than a second. */
const patience = 700

/**
 * An abort signal for all that asks the program to end. What has not ended a moment later, and at a
 * second signal at once, is cut off by `end`: whatever is on disk then can be gone on from.
 */
export function listenForSignals(end: () => void): AbortSignal {
  const aborter = new AbortController()
  for (const name of signals) {
    process.on(name, () => {
      if (aborter.signal.aborted) end()
      aborter.abort()
      setTimeout(end, patience).unref()
    })
  }
  return aborter.signal
}
