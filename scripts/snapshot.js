// Writes what the commands look like from outside: oclif.manifest.json, which the CLI starts from,
// and test/commands/snapshot.json, in which every change of the surface shows. Run after a build.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const { status } = spawnSync(join('node_modules', '.bin', 'oclif'), ['manifest'], {
  stdio: 'inherit',
  shell: process.platform === 'win32',
})
if (status !== 0) process.exit(status ?? 1)

// oclif lists commands as the file system gives them, which is not always in one order.
const manifest = JSON.parse(readFileSync('oclif.manifest.json', 'utf8'))
const commands = Object.fromEntries(
  Object.entries(manifest.commands).sort(([a], [b]) => (a < b ? -1 : 1)),
)
writeFileSync('oclif.manifest.json', JSON.stringify({ ...manifest, commands }, null, 2))
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
writeFileSync('test/commands/snapshot.json', `${JSON.stringify(surface, null, 2)}\n`)
