// A local Hub for programs in other languages: prints {url, token, reader} as one line of JSON,
// and answers until its input ends. Run by run.js through tsx.
import { startHub } from '../support/hub/hub.js'

const hub = await startHub()
hub.addToken('hf_interop_write', 'tester', 'write')
hub.addToken('hf_interop_read', 'reader', 'read')
// Small enough that the test's large file goes in parts, and its listings in the pages asked for.
hub.multipartAbove = 12 * 1024 * 1024
hub.partSize = 5 * 1024 * 1024
hub.pageSize = Number(process.argv[2])
console.log(JSON.stringify({ url: hub.url, token: 'hf_interop_write', reader: 'hf_interop_read' }))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
