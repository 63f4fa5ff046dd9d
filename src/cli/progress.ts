import type { LockHolder } from '../io/lock.js'
import { printable } from '../io/printable.js'
import { formatBytes, formatSeconds } from '../io/units.js'
import type { BytesPhase, ProgressEvent } from '../library/progress.js'

type Counted = Extract<ProgressEvent, { phase: BytesPhase }>

/** Draws progress on stderr: a spinner on a terminal, plain lines elsewhere. */
export interface ProgressDisplay {
  show(event: ProgressEvent): void
  stop(): void
}

const phases: Record<BytesPhase, string> = {
  convert: 'converting',
  verify: 'verifying',
  compare: 'comparing',
  tokenize: 'tokenizing',
  fetch: 'fetching',
  send: 'sending',
}

/** What is said while another run fetches what this one needs. */
export function waitingFor({ host, pid }: LockHolder): string {
  const who = pid > 0 ? `process ${pid} on ${host}` : 'another run'
  return `waiting for ${who}, which is fetching the same file`
}

function isCounted(event: ProgressEvent): event is Counted {
  return 'total' in event
}

/** What is being done, where nothing can be counted. */
function sayingOf(event: Exclude<ProgressEvent, Counted>): string {
  return event.phase === 'wait' ? waitingFor(event.holder) : event.step
}

/** Seconds between plain lines. */
const plainInterval = 5

export async function startProgress(): Promise<ProgressDisplay> {
  return canDraw(process.stderr, process.env) ? startSpinner() : startLines()
}

/**
 * Whether a stream can show a line that changes: a log, also that of CI's terminal, cannot, nor a
 * terminal that nobody has given a width, on which ora would clear lines without end.
 */
export function canDraw(
  { isTTY = false, columns = 0 }: { isTTY?: boolean; columns?: number },
  env: NodeJS.ProcessEnv,
): boolean {
  const { CI = '', TERM } = env
  return isTTY && columns > 0 && TERM !== 'dumb' && ['', '0', 'false'].includes(CI)
}

async function startSpinner(): Promise<ProgressDisplay> {
  const { default: ora } = await import('ora')
  // Keys stay the terminal's: Ctrl-C, Ctrl-Z and Ctrl-\ would be read and thrown away otherwise. And
  // nothing of it is changed, the cursor neither, that would have to be set right however this ends.
  const spinner = ora({
    stream: process.stderr,
    isEnabled: true,
    discardStdin: false,
    hideCursor: false,
  }).start('opening')
  // A width that is lost on the way.
  const resized = () => {
    if (process.stderr.columns === 0) spinner.stop()
  }
  process.stderr.on('resize', resized)
  const clock = startClock()
  return {
    show(event) {
      spinner.text = isCounted(event)
        ? `${phases[event.phase]}  ${clock(event)}`
        : printable(sayingOf(event))
    },
    stop() {
      process.stderr.off('resize', resized)
      spinner.stop()
    },
  }
}

function startLines(): ProgressDisplay {
  const clock = startClock()
  let last = Date.now()
  let pending: NodeJS.Timeout | undefined
  const write = (line: string): void => {
    last = Date.now()
    process.stderr.write(`${line}\n`)
  }
  return {
    show(event) {
      clearTimeout(pending)
      if (!isCounted(event)) {
        // What is soon done needs no line.
        pending = setTimeout(write, plainInterval * 1000, printable(sayingOf(event)))
      } else if (Date.now() - last >= plainInterval * 1000) {
        write(`${phases[event.phase]}  ${clock(event)}`)
      }
    },
    stop: () => clearTimeout(pending),
  }
}

/** Percentage, bytes, rate and remaining time, from the start of the phase. */
function startClock(): (progress: Counted) => string {
  let phase = ''
  let start = Date.now()
  let before = 0
  return ({ phase: current, done, total }) => {
    if (current !== phase) {
      phase = current
      start = Date.now()
      before = done
    }
    const seconds = (Date.now() - start) / 1000
    const percent = total === 0 ? 100 : Math.floor((100 * done) / total)
    const rate = seconds > 0 ? (done - before) / seconds : 0
    const parts = [`${percent} %`, `${formatBytes(done)} of ${formatBytes(total)}`]
    if (rate > 0) {
      parts.push(`${formatBytes(Math.round(rate))}/s`)
      parts.push(`${formatSeconds((total - done) / rate)} left`)
    }
    return parts.join(', ')
  }
}
