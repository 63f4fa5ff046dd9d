// Writes what the commands look like from outside: oclif.manifest.json, which the CLI starts from,
// and test/commands/snapshot.json, in which every change of the surface shows. Run after a build.
//   node scripts/snapshot.js [FOLDER]   writes into FOLDER, for a comparison
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const [folder = '.'] = process.argv.slice(2)

// oclif writes beside the package.json that it reads: that of a copy, so that nothing else changes.
const stage = mkdtempSync(join(tmpdir(), 'openllama-manifest-'))
let text
try {
  copyFileSync('package.json', join(stage, 'package.json'))
  for (const name of ['dist', 'node_modules']) symlinkSync(resolve(name), join(stage, name))
  const { status } = spawnSync(resolve('node_modules', '.bin', 'oclif'), ['manifest'], {
    cwd: stage,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  if (status !== 0) process.exit(status ?? 1)
  text = readFileSync(join(stage, 'oclif.manifest.json'), 'utf8')
} finally {
  rmSync(stage, { recursive: true, force: true })
}

// oclif lists commands as the file system gives them, which is not always in one order.
const manifest = JSON.parse(text)
const commands = Object.fromEntries(
  Object.entries(manifest.commands)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    // It has followed the link to dist.
    .map(([id, { relativePath, ...command }]) => [
      id,
      { ...command, relativePath: relativePath.slice(relativePath.indexOf('dist')) },
    ]),
)
writeFileSync(
  join(folder, 'oclif.manifest.json'),
  JSON.stringify({ ...manifest, commands }, null, 2),
)
const surface = Object.values(commands)
  .map(({ id, args, flags }) => ({
    command: id,
    args: Object.values(args).map(({ name, required = false }) => ({ name, required })),
    flags: Object.values(flags)
      .map(({ name, type, required = false, multiple = false, options, default: value }) => ({
        name,
        type,
        required,
        multiple,
        ...(options === undefined ? {} : { options }),
        ...(value === undefined ? {} : { default: value }),
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  }))
  .sort((a, b) => (a.command < b.command ? -1 : 1))
const snapshot = join(folder, 'test', 'commands')
mkdirSync(snapshot, { recursive: true })
writeFileSync(join(snapshot, 'snapshot.json'), `${JSON.stringify(surface, null, 2)}\n`)
