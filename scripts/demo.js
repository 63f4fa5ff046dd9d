// The main job on a small trained checkpoint that is in this repository: an EasyLM stream becomes
// a Hugging Face safetensors checkpoint.
import { spawnSync } from 'node:child_process'

const fixtures = 'test/fixtures/tiny-v2'
const source = `${fixtures}/easylm/streaming_params_bf16`
const out = 'demo-out/tiny-v2'

openllama(
  'What is in the checkpoint? Its headers are read, its weights are not.',
  'inspect',
  source,
  '--config',
  `${fixtures}/config.json`,
)
openllama(
  'Convert it.',
  'convert',
  source,
  '--to',
  'safetensors',
  '--dtype',
  'f16',
  '--config',
  `${fixtures}/config.json`,
  '--out',
  out,
  '--force',
)
openllama('What came out?', 'inspect', out)

console.log(`
The checkpoint is in ${out}; transformers loads it with AutoModelForCausalLM.from_pretrained("${out}").
${out}/openllama.json records what it was made from, with the sha256 of every file.

Next, with a checkpoint of your own:
  node bin/run.js inspect params::path/to/streaming_params
  node bin/run.js convert params::path/to/streaming_params --to safetensors --dry-run
  node bin/run.js convert --help`)

function openllama(title, ...args) {
  console.log(`\n# ${title}\n$ node bin/run.js ${args.join(' ')}`)
  const { status } = spawnSync(process.execPath, ['bin/run.js', ...args], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
