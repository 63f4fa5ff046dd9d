// A corpus from what is on the machine: the packages' Markdown, JavaScript and translations, and
// Python's standard library, whose tests have texts of many scripts.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Lines taken from one file at most, evenly spread, so that no single one fills the corpus. */
const mostOfFile = 120
/** Minified bundles have lines of a megabyte; a tokenizer's rules show in short ones. */
const longest = 2000

/**
 * Writes `count` distinct lines, the same ones for the same files on the machine.
 * @param python whose standard library is read
 * @returns how many lines of which kind
 */
export async function writeCorpus(path, count, python) {
  const out = createWriteStream(path)
  const seen = new Set()
  const kinds = {}
  const sources = [
    ['translations', filesOf('node_modules', (file) => /locales?\/.*\.json$/.test(file))],
    ['Markdown', filesOf('node_modules', (file) => file.endsWith('.md'))],
    ['Python', filesOf(standardLibrary(python), (file) => file.endsWith('.py'))],
    ['JavaScript', filesOf('node_modules', (file) => file.endsWith('.js'))],
  ]
  for (const [i, [kind, files]] of sources.entries()) {
    // Each kind gets an even share of what the ones before it have left.
    const share = Math.ceil((count - seen.size) / (sources.length - i))
    const before = seen.size
    for (const file of files) {
      for (const line of linesOf(file)) {
        if (seen.size - before >= share) break
        if (seen.has(line)) continue
        seen.add(line)
        if (!out.write(`${line}\n`)) await once(out, 'drain')
      }
    }
    kinds[kind] = seen.size - before
  }
  out.end()
  await once(out, 'finish')
  return kinds
}

function linesOf(file) {
  const bytes = readFileSync(file)
  const text = bytes.toString('utf8')
  // Some of Python's own tests are in other encodings on purpose.
  if (!Buffer.from(text).equals(bytes)) return []
  const lines = text.split('\n').filter((line) => line.length <= longest)
  const step = Math.max(1, lines.length / mostOfFile)
  const taken = []
  for (let at = 0; at < lines.length; at += step) taken.push(lines[Math.floor(at)])
  return taken
}

function filesOf(folder, wanted) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(wanted)
    .sort()
}

function standardLibrary(python) {
  const { stdout } = spawnSync(
    python,
    ['-c', "import sysconfig; print(sysconfig.get_path('stdlib'))"],
    { encoding: 'utf8' },
  )
  return stdout.trim()
}
