import type { Hook } from '@oclif/core'
import { usageError } from '../io/errors.js'
import { printableJson } from '../io/printable.js'
import { errorJson } from './command.js'

/** A command that is not there is a usage error like any other, in JSON too. */
const notFound: Hook.CommandNotFound = async function ({ id, argv = [] }) {
  const error = usageError(`there is no command ${JSON.stringify(id.replaceAll(':', ' '))}`, {
    suggestions: ['`openllama --help` lists them.'],
  })
  if (id === '--json' || argv.includes('--json')) {
    process.stdout.write(`${printableJson(JSON.stringify(errorJson(error), null, 2))}\n`)
  } else {
    process.stderr.write(`error: ${error.message}\n  ${error.suggestions.join('\n  ')}\n`)
  }
  this.exit(error.exit)
}

export default notFound
