import { spawn } from 'node:child_process'
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { publishTiny, startSession } from './support/hub/session.js'
import { fixture, root } from './support/paths.js'
import { tempDir } from './support/temp.js'
import { modelPath } from './support/tokenizers.js'

// What the documents tell users to type runs as it stands, from the first line to the last.

const test = suite('docs')

/** The commands of a document's blocks of shell, in their order. */
function commandsOf(document: string): string[] {
  const text = readFileSync(join(root, document), 'utf8')
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)]
    .flatMap(([, block = '']) => block.split('\n'))
    .filter((line) => line.startsWith('openllama '))
}

/** A folder with what a document supposes, and `openllama` on the path. */
function workplace(files: Record<string, string>): { cwd: string; path: string } {
  const cwd = tempDir()
  const bin = tempDir()
  for (const [name, from] of Object.entries(files)) copyFileSync(from, join(cwd, name))
  const program = join(bin, 'openllama')
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${root}/bin/run.js" "$@"\n`)
  chmodSync(program, 0o755)
  return { cwd, path: `${bin}${delimiter}${process.env.PATH}` }
}

function shell(command: string, cwd: string, env: NodeJS.ProcessEnv) {
  return new Promise<{ code: number | null; output: string }>((resolve) => {
    const child = spawn('sh', ['-c', command], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk
      })
    }
    child.on('close', (code) => resolve({ code, output }))
  })
}

test('README.md: its commands, one after the other, end with 0', async () => {
  const session = await startSession()
  try {
    const mine = 'hf_OfWhoReadsThis'
    session.hub.addToken(mine, 'me', 'write')
    for (const size of ['3b', '7b']) {
      await publishTiny(session.hub, `openlm-research/open_llama_${size}_v2`)
    }
    const { cwd, path } = workplace({
      streaming_params: fixture('tiny-v2', 'easylm', 'streaming_params_bf16'),
      'config.json': fixture('tiny-v2', 'config.json'),
      'tokenizer.model': modelPath('tiny-v2'),
      'results.json': fixture('lm-eval', 'new.json'),
    })
    const commands = commandsOf('README.md')
    assert.ok(commands.length >= 10, `${commands.length} commands`)
    const env = { ...process.env, ...session.env, HF_TOKEN: mine, PATH: path, NO_COLOR: '1' }
    for (const command of commands) {
      const { code, output } = await shell(command, cwd, env)
      assert.is(code, 0, `${command}\n${output}`)
    }
  } finally {
    await session.hub.close()
  }
})

test.run()
