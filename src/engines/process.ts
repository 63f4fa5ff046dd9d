import { type ChildProcess, fork } from 'node:child_process'
import { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { OpenLlamaError } from '../io/errors.js'
import type { EngineName } from '../record/check.js'
import type { Engine, EngineOptions } from './engine.js'
import type { Opened } from './open.js'
import type { Answer, Request } from './process-protocol.js'

/** What is asked, without the number that it gets. */
type Asked = Request extends infer R ? (R extends Request ? Omit<R, 'id'> : never) : never

export interface StartOptions extends EngineOptions {
  engine?: EngineName
  /** Ends what is running at once. */
  signal?: AbortSignal | undefined
}

/**
 * Opens a checkpoint in its engine, in a process of its own. An engine that loads or runs a model
 * lets nothing in for as long as that takes: this way Ctrl-C does not wait for it, and a model over
 * which an engine ends its process does not end the program.
 */
export async function startEngine(
  { checkpoint, graph }: Opened,
  { signal, ...options }: StartOptions,
): Promise<Engine> {
  shared ??= startHost()
  const host = shared
  const opened = { checkpoint: asData(checkpoint), ...(graph === undefined ? {} : { graph }) }
  const ask = (request: Asked, onAnswer?: (answer: Answer) => void) =>
    host.ask(request, signal, onAnswer).catch((error: unknown) => {
      throw namedAfter(error, checkpoint.path)
    })
  const answer = await ask({ call: 'open', opened, options })
  if (answer.kind !== 'opened') throw new Error('the engine was not opened')
  const { engine, facts, hiddenStates } = answer
  const floatsOf = async (request: Asked): Promise<Float32Array[]> => {
    const arrays: Float32Array[] = []
    await ask(request, (part) => {
      if (part.kind !== 'floats') return
      arrays[part.array] ??= new Float32Array(part.length)
      arrays[part.array]?.set(part.values, part.start)
    })
    return arrays
  }
  return {
    ...facts,
    async logits(tokens) {
      const [logits = new Float32Array()] = await floatsOf({ call: 'logits', engine, tokens })
      return logits
    },
    async generate(tokens, most, { draft = [], onStep } = {}) {
      const made = await ask({ call: 'generate', engine, tokens, most, draft }, (part) => {
        if (part.kind === 'step') onStep?.(part.seconds)
      })
      return made.kind === 'tokens' ? made.tokens : []
    },
    ...(hiddenStates
      ? { hiddenStates: (tokens) => floatsOf({ call: 'hiddenStates', engine, tokens }) }
      : {}),
    async dispose() {
      // The process that was ended has nothing left to give back.
      if (host.isThere()) await ask({ call: 'dispose', engine })
    },
  }
}

/** What goes to another process is data; it reads files itself. */
function asData({ cache: _, tokenizer, ...checkpoint }: Checkpoint): Checkpoint {
  const { cache: __, ...files } = tokenizer
  return { ...checkpoint, tokenizer: files }
}

/** Of two models that are run, which one an engine failed over. */
function namedAfter(error: unknown, path: string): unknown {
  if (!(error instanceof OpenLlamaError) || error.code !== 'input' || error.path !== undefined)
    return error
  const { code, what, format, tensor, suggestions } = error
  return new OpenLlamaError(code, what, { path, format, tensor, suggestions, cause: error })
}

/** One for all engines: starting it, and llama.cpp in it, takes most of a second. */
let shared: Host | undefined

interface Host {
  /** @returns the last answer; the others go to `onAnswer` */
  ask(
    request: Asked,
    signal: AbortSignal | undefined,
    onAnswer?: (answer: Answer) => void,
  ): Promise<Answer>
  isThere(): boolean
}

interface Asking {
  resolve(answer: Answer): void
  reject(error: Error): void
  onAnswer?: ((answer: Answer) => void) | undefined
}

function startHost(): Host {
  const child = fork(fileURLToPath(new URL('./child.js', import.meta.url)), [], {
    // Numbers as they are, not as text.
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  let there = true
  const asking = new Map<number, Asking>()
  const said = lastWords(child)
  const end = (error: Error): void => {
    there = false
    if (shared === host) shared = undefined
    for (const { reject } of asking.values()) reject(error)
    asking.clear()
  }
  child.on('error', (cause) =>
    end(new OpenLlamaError('resources', 'the engine’s process does not start', { cause })),
  )
  child.on('exit', (code, signal) => end(endedEarly(code, signal, said())))
  child.on('message', (answer: Answer) => {
    const asked = asking.get(answer.id)
    if (asked === undefined) return
    if (answer.kind === 'floats' || answer.kind === 'step') return asked.onAnswer?.(answer)
    asking.delete(answer.id)
    // An idle process does not keep the program from ending, and ends with it.
    if (asking.size === 0) rest(child)
    if (answer.kind === 'failed') {
      const { code, what, details } = answer.error
      asked.reject(new OpenLlamaError(code, what, details))
    } else if (answer.kind === 'bug') {
      asked.reject(Object.assign(new Error(answer.message), { stack: answer.stack }))
    } else asked.resolve(answer)
  })
  let next = 0
  const host: Host = {
    isThere: () => there,
    async ask(request, signal, onAnswer) {
      if (signal?.aborted) throw interrupted()
      const kill = (): void => {
        child.kill('SIGKILL')
        end(interrupted())
      }
      signal?.addEventListener('abort', kill, { once: true })
      try {
        return await new Promise<Answer>((resolve, reject) => {
          const id = next++
          asking.set(id, { resolve, reject, onAnswer })
          child.ref()
          child.channel?.ref()
          child.send({ ...request, id }, (error) => error && reject(error))
        })
      } finally {
        signal?.removeEventListener('abort', kill)
      }
    },
  }
  return host
}

function rest(child: ChildProcess): void {
  child.unref()
  child.channel?.unref()
}

function interrupted(): OpenLlamaError {
  return new OpenLlamaError('interrupted', 'interrupted')
}

/** Bytes of what an engine said that are kept. */
const mostWords = 2000

/** What the process wrote to stderr last: where an engine ends it, that is why. */
function lastWords({ stderr }: ChildProcess): () => string {
  let words = ''
  stderr?.setEncoding('utf8')
  stderr?.on('data', (chunk: string) => {
    words = (words + chunk).slice(-mostWords)
  })
  if (stderr instanceof Socket) stderr.unref()
  return () =>
    words
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
      .slice(-2)
      .join(' ')
      .slice(0, 500)
}

function endedEarly(
  code: number | null,
  signal: NodeJS.Signals | null,
  said: string,
): OpenLlamaError {
  const how = signal ?? `the exit code ${code}`
  const why = said === '' ? '' : `: ${said}`
  // A system that is short of memory ends the process that has most of it.
  if (signal === 'SIGKILL' || signal === 'SIGTERM') {
    return new OpenLlamaError('resources', `the engine’s process was ended by ${how}${why}`, {
      suggestions: ['The system may have been short of memory: free some, or use a smaller type.'],
    })
  }
  return new OpenLlamaError('input', `the engine broke down over the model, with ${how}${why}`, {
    suggestions: ['The model may be malformed: `openllama inspect` and `diff` look into it.'],
  })
}
