// The Python side of the live cross-checks: environments that are made once for each list of
// requirements and kept in the user's cache.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const here = 'test/interop'

/** The interpreter with everything of requirements.txt: transformers 5. */
export function pythonWithTransformers5() {
  return environment(['requirements.txt'])
}

/** The same, with transformers 4 before everything else. */
export function pythonWithTransformers4() {
  const base = environment(['requirements.txt'])
  return environment(['requirements.txt', 'requirements-transformers4.txt'], base)
}

/**
 * Makes a virtual environment, or finds it made.
 * @param lists files of requirements; the last is installed, the others are in `base`
 * @param base interpreter of an environment whose packages are seen behind this one's own
 */
function environment(lists, base) {
  const hash = createHash('sha256')
  for (const list of lists) hash.update(readFileSync(join(here, list)))
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
  const folder = join(cache, 'openllama', `interop-${hash.digest('hex').slice(0, 12)}`)
  const python = join(folder, 'bin', 'python')
  const complete = join(folder, 'complete')
  if (existsSync(complete)) return python
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  run('python3', '-m', 'venv', folder)
  if (base !== undefined)
    writeFileSync(
      join(sitePackages(folder), 'base.pth'),
      `${sitePackages(join(base, '..', '..'))}\n`,
    )
  const list = join(here, lists.at(-1))
  console.log(`installing ${list} …`)
  run(
    python,
    '-m',
    'pip',
    'install',
    '--quiet',
    ...(base === undefined ? [] : ['--no-deps']),
    '-r',
    list,
  )
  writeFileSync(complete, '')
  return python
}

function sitePackages(folder) {
  const lib = join(folder, 'lib')
  const version = readdirSync(lib).find((name) => name.startsWith('python'))
  return join(lib, version, 'site-packages')
}

function run(command, ...args) {
  const { status } = spawnSync(command, args, { stdio: 'inherit' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}`)
}
