import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromAnySystemError, fromSystemError, OpenLlamaError } from '../../src/io/errors.js'

const test = suite('io: errors of the system')

/** As Node makes them. */
function systemError(code: string, more: object = {}): Error {
  return Object.assign(new Error(`${code}: whatever it is, open 'file'`), { code, ...more })
}

function told(error: Error): OpenLlamaError {
  const ours = fromSystemError(error, 'file', 'write it')
  if (!(ours instanceof OpenLlamaError)) throw new Error(`${error.message} passes through`)
  return ours
}

test('each has a sentence, something to do, and 3 or 6', () => {
  const resources =
    'ENOSPC EDQUOT EFBIG EACCES EPERM EROFS EMFILE ENFILE ENOMEM EIO EBUSY ETXTBSY EAGAIN ESTALE ENXIO ENODEV EINVAL ENOSYS ENOTSUP EXDEV EEXIST ENOTEMPTY ENOTDIR EMLINK EOVERFLOW EILSEQ'
  for (const code of resources.split(' ')) {
    const error = told(systemError(code))
    assert.equal([code, error.exit, error.path], [code, 6, 'file'])
    assert.match(error.message, /^file: cannot write it: ./)
    assert.is(error.suggestions.length, 1)
  }
  for (const code of ['ENOENT', 'EISDIR', 'ELOOP', 'ENAMETOOLONG']) {
    assert.equal([code, told(systemError(code)).exit], [code, 3])
  }
})

test('a number that Node has no name for', () => {
  if (process.platform !== 'linux') return
  const quota = told(systemError('Unknown system error -122', { errno: -122 }))
  assert.match(quota.message, 'quota')
  assert.is(quota.exit, 6)
  const other = told(systemError('Unknown system error -199'))
  assert.match(other.message, 'Unknown system error -199')
  assert.is(other.exit, 6)
})

test('one that nobody wrapped has its own path and call', () => {
  const error = fromAnySystemError(systemError('EIO', { syscall: 'scandir', path: '/d' }))
  assert.ok(error instanceof OpenLlamaError)
  assert.is(error.message, '/d: cannot list it: the device reports an input/output error')
  const connection = fromAnySystemError(systemError('ECONNRESET', { syscall: 'read' }))
  assert.ok(connection instanceof OpenLlamaError)
  assert.is(connection.exit, 5)
})

test('bugs and our own errors pass through', () => {
  const own = new OpenLlamaError('usage', 'what')
  const bugs = [new TypeError('x is undefined'), systemError('ERR_INVALID_ARG_TYPE')]
  for (const error of [own, ...bugs]) {
    assert.is(fromSystemError(error, 'file', 'read it'), error)
    assert.is(fromAnySystemError(error), error)
  }
})

test.run()
