import { linkSync, mkdirSync, renameSync, symlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { prepareConversion, runConversion } from '../../src/convert/convert.js'
import { convertOptions, makeSource, runOptions } from '../support/conversion.js'
import { fails } from '../support/errors.js'
import { contentOf } from '../support/tree.js'

const test = suite('convert: output and source in one another')

async function refused(source: string, out: string, root: string, to = 'safetensors') {
  for (const force of [false, true]) {
    const before = contentOf(root)
    const conversion = await prepareConversion(source, { ...convertOptions, to, out })
    await fails(() => runConversion(conversion, { ...runOptions, force }), 'usage', 'source')
    assert.equal(contentOf(root), before)
  }
}

test('the source as output, what contains it, and what lies in it', async () => {
  const { folder, source } = makeSource()
  const inside = dirname(source)
  await refused(source, source, folder)
  await refused(inside, inside, folder)
  await refused(source, inside, folder)
  await refused(inside, folder, folder)
  await refused(inside, join(inside, 'out'), folder)
  await refused(inside, join(inside, 'deep', 'er', 'model.gguf'), folder, 'gguf')
  await refused(inside, join(inside, '..', basename(inside)), folder)
  await refused(inside, join(inside, '..', 'nowhere', '..', basename(inside), 'x'), folder)
  await refused(`params::${source}`, inside, folder)
})

test('by links and hard links', async () => {
  const { folder, source } = makeSource()
  const inside = dirname(source)
  symlinkSync(inside, join(folder, 'link'))
  await refused(inside, join(folder, 'link', 'out'), folder)
  await refused(join(folder, 'link'), inside, folder)
  await refused(join(folder, 'link'), join(inside, 'out'), folder)
  linkSync(source, join(folder, 'hard.gguf'))
  await refused(source, join(folder, 'hard.gguf'), folder, 'gguf')
  // A link to the weights in a folder: the folder is its place as well.
  mkdirSync(join(folder, 'snapshot'))
  symlinkSync(source, join(folder, 'snapshot', 'weights'))
  symlinkSync(join(inside, 'config.json'), join(folder, 'snapshot', 'config.json'))
  await refused(join(folder, 'snapshot', 'weights'), join(folder, 'snapshot'), folder)
})

test('what belongs to the output is none of the source either', async () => {
  const { folder, source } = makeSource()
  const inside = dirname(source)
  renameSync(inside, join(folder, 'out.partial'))
  await refused(join(folder, 'out.partial', basename(source)), join(folder, 'out'), folder)
  renameSync(join(folder, 'out.partial'), join(folder, 'm.gguf.openllama.json'))
  await refused(
    join(folder, 'm.gguf.openllama.json', basename(source)),
    join(folder, 'm.gguf'),
    folder,
    'gguf',
  )
})

test('beside the files of a source is no place in it', async () => {
  const { source } = makeSource()
  const out = join(dirname(source), 'out')
  const conversion = await prepareConversion(source, { ...convertOptions, out })
  await runConversion(conversion, runOptions)
})

test.run()
