// One conversion for scripts/kills.ts, by the library as `convert` calls it, and quicker to start:
//   node scripts/kills/run.js '{"source", "options", "run", "end"}'
// `end` says how this process is to come to its end, beside the signals that it is sent:
//   {"operation": n}  SIGKILL at the n-th operation on files, which is done or not by `after`
//   {"worker": n}     one thread ends after n milliseconds
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

const { source, options, run, end } = JSON.parse(process.argv[2])

// The journal is written every few seconds: of these there are many in a short run.
const { now } = Date
Date.now = () => 200 * now()

let count = 0
for (const name of ['open', 'mkdir', 'rename', 'rm', 'rmdir', 'link', 'lstat', 'readdir']) {
  const call = fs[name]
  fs[name] = async (...args) => {
    const last = ++count === end?.operation
    if (last && !end.after) process.kill(process.pid, 'SIGKILL')
    const result = await call(...args)
    if (last) process.kill(process.pid, 'SIGKILL')
    return result
  }
}
syncBuiltinESMExports()
if (end?.worker !== undefined) {
  let ended = false
  process.on('worker', (worker) => {
    if (!ended) setTimeout(() => void worker.terminate(), end.worker)
    ended = true
  })
}

const { prepareConversion, runConversion } = await import('../../dist/convert/convert.js')
const { OpenLlamaError } = await import('../../dist/io/errors.js')

const aborter = new AbortController()
for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => aborter.abort())
try {
  const conversion = await prepareConversion(source, options)
  process.stdout.write('begin\n')
  const before = count
  await runConversion(conversion, { ...run, signal: aborter.signal })
  process.stdout.write(`${before} ${count} operations\n`)
} catch (error) {
  if (!(error instanceof OpenLlamaError)) throw error
  process.stderr.write([error.message, ...error.suggestions, ''].join('\n'))
  process.exitCode = error.exit
}
