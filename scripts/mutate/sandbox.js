// A copy of the project in .mutate whose rooms have all mutants in them at once: which one runs is
// up to the environment, so that one build serves all.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { Instrumenter } from '@stryker-mutator/instrumenter'

export const rooms = ['convert', 'check', 'compare', 'formats', 'hub']
export const home = '.mutate'
export const project = join(home, 'project')

/**
 * Makes the copy, or takes the one that is there if nothing has changed.
 * @returns the mutants, and a digest of what their coverage depends on
 */
export async function makeSandbox() {
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], {
    encoding: 'utf8',
  })
    .split('\0')
    .filter((name) => name !== '' && existsSync(name))
  const textOf = (name) => readFileSync(name)
  const digest = digestOf(files, textOf)
  const note = join(home, 'mutants.json')
  if (existsSync(note)) {
    const made = JSON.parse(readFileSync(note, 'utf8'))
    if (made.digest === digest) return made.mutants
  }
  console.log('making a copy of the project with all mutants in it')
  rmSync(note, { force: true })
  rmSync(project, { recursive: true, force: true })
  for (const name of files) copy(name, join(project, name))
  symlinkSync(join('..', '..', 'node_modules'), join(project, 'node_modules'), 'dir')
  linkShared()
  const mutants = await instrument(files.filter(isMutated))
  compile()
  // Tests that read the source see it as it is.
  for (const name of files.filter(isMutated)) copy(name, join(project, name))
  writeFileSync(note, JSON.stringify({ digest, mutants }))
  return mutants
}

export function digestOf(files, textOf) {
  const hash = createHash('sha256')
  for (const name of files) hash.update(`${name}\0`).update(textOf(name))
  return hash.digest('hex')
}

const isMutated = (name) => rooms.some((room) => name.startsWith(`src/${room}/`))

function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true })
  cpSync(from, to)
}

/** The larger fixtures lie beside the project, and so beside the copy. */
function linkShared() {
  const link = join(home, 'shared')
  rmSync(link, { force: true })
  if (existsSync(join('..', 'shared'))) symlinkSync(join('..', '..', 'shared'), link, 'dir')
}

async function instrument(names) {
  const quiet = () => {}
  const logger = { debug: quiet, info: quiet, warn: quiet, isDebugEnabled: () => false }
  const sources = names.map((name) => ({
    name,
    mutate: true,
    content: readFileSync(name, 'utf8'),
  }))
  const { files, mutants } = await new Instrumenter(logger).instrument(sources, {
    plugins: null,
    ignorers: [],
    excludedMutations: [],
    noHeader: true,
  })
  for (const { name, content } of files) {
    const up = '../'.repeat(name.split('/').length - 2)
    const header = `import { stryCov_9fa48, stryMutAct_9fa48 } from '${up}mutants.js'\n`
    writeFileSync(join(project, name), header + content)
  }
  const contents = new Map(sources.map(({ name, content }) => [name, content]))
  const found = mutants.map((mutant) => describe(mutant, contents.get(mutant.fileName)))
  return nameMutants(found.filter(({ mutator, before }) => !isMessage(mutator, before)))
}

function describe({ id, fileName, mutatorName, location, replacement }, content) {
  const lines = content.split('\n')
  const { start, end } = location
  const there = lines.slice(start.line, end.line + 1)
  there[there.length - 1] = there.at(-1).slice(0, end.column)
  there[0] = there[0].slice(start.column)
  return {
    id,
    file: fileName,
    line: start.line + 1,
    mutator: mutatorName,
    before: there.join('\n'),
    after: replacement,
    lineText: lines[start.line].trim(),
  }
}

/** What messages say is asserted where it matters; a text with a space in it is one. */
function isMessage(mutator, text) {
  return mutator === 'StringLiteral' && (text.includes(' ') || /^(''|""|``)$/.test(text))
}

/** A name each that edits elsewhere leave as it is: a sample by it stays the same sample. */
function nameMutants(mutants) {
  const seen = new Map()
  return mutants.map(({ lineText, ...mutant }) => {
    const { file, mutator, before, after } = mutant
    const what = JSON.stringify([file, lineText, mutator, before, after])
    const nth = seen.get(what) ?? 0
    seen.set(what, nth + 1)
    return { ...mutant, name: createHash('sha256').update(`${what}${nth}`).digest('hex') }
  })
}

function compile() {
  const compiler = join('node_modules', '.bin', 'tsc')
  execFileSync(compiler, ['-p', 'tsconfig.test.json', '--noCheck'], {
    cwd: project,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  const kernels = join('kernels', 'kernels.wasm')
  copy(join('dist', kernels), join(project, 'build', 'src', kernels))
  copy(join('scripts', 'mutate', 'mutants.js'), join(project, 'build', 'src', 'mutants.js'))
  copy('package.json', join(project, 'build', 'package.json'))
  // The program's own copy: tests start it as users do.
  cpSync(join(project, 'build', 'src'), join(project, 'dist'), { recursive: true })
}
