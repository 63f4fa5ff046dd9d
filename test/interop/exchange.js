// The Hub: what Python's client sends, we fetch, and the other way round.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startHub } from './hub.js'
import { check, fixtures, models, openllama, report, temporary } from './session.js'

/** The Hub that our tests talk to is one that huggingface_hub can talk to. */
export async function checkHub(pythons) {
  const home = join(temporary, 'hub-home')
  const hub = await startHub(home)
  try {
    for (const [i, python] of pythons.entries()) {
      const work = join(temporary, `hub-${i}`)
      mkdirSync(work)
      check(python, 'check_hub.py', { env: hub.env }, work)
    }
    // What Python has sent, we fetch into a cache of our own; in it both find everything.
    const version = readdirSync(join(home, 'hub')).find((name) => name.startsWith('models--'))
    const repository = version.split('--').slice(1).join('/')
    const ours = { ...hub.env, HF_HOME: `${home}-2`, HF_HUB_CACHE: join(`${home}-2`, 'hub') }
    const out = join(temporary, 'pulled')
    const pulled = JSON.parse(openllama(['pull', repository, '--out', out, '--json'], ours))
    for (const python of pythons) {
      const env = { ...ours, HF_HUB_OFFLINE: '1', HF_TOKEN: '' }
      check(python, 'check_hub_cache.py', { env }, repository, out)
    }
    // What we push, Python downloads.
    for (const [i, python] of pythons.entries()) {
      check(python, 'check_hub_push.py', { env: hub.env }, ...pushed(`tester/pushed-${i}`, hub.env))
    }
    // And what Python has fetched, we do not fetch again.
    const again = JSON.parse(openllama(['pull', `${repository}@v1`, '--json'], hub.env))
    const known = pulled.files.length > 3 && again.fetched === 0
    report(known, 'openllama: uses what huggingface_hub has fetched')
  } finally {
    hub.stop()
  }
}

/**
 * Converts, describes and publishes a fixture, with a file that goes in parts, and asks for
 * another file to be added.
 * @returns the repository and the folder
 */
function pushed(repository, env) {
  const folder = join(temporary, repository.replace('/', '-'))
  const source = `${fixtures}/${models[0]}/easylm/streaming_params_bf16`
  const config = `${fixtures}/${models[0]}/config.json`
  const to = ['--to', 'safetensors', '--check', '--out', folder]
  openllama(['convert', source, '--config', config, ...to], env)
  openllama(['card', folder, '--license', 'apache-2.0'], env)
  mkdirSync(join(folder, 'sub'))
  writeFileSync(join(folder, 'sub', 'a b#c%20ü.txt'), 'a name that must be escaped\n')
  writeFileSync(join(folder, 'sub', 'large.dat'), Buffer.alloc(13 * 1024 * 1024 + 5, repository))
  openllama(['push', folder, repository, '--create'], env)
  writeFileSync(join(folder, 'only-there.txt'), 'asked for\n')
  openllama(['push', folder, repository, '--create-pr', '--message', 'Add one'], env)
  return [repository, folder]
}
