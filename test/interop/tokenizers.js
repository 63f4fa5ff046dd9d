// Tokenizers: ours against SentencePiece, tokenizers and both generations of transformers.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { writeCorpus } from './corpus.js'
import { check, fixtures, models, openllama, temporary } from './session.js'

/** Fewer for a quick look: CORPUS_LINES=1000. */
const corpusLines = Number(process.env.CORPUS_LINES ?? 100_000)

/**
 * Tokenizers on 100,000 lines of what is on this machine: those of the fixtures, and OpenLLaMA's
 * own where they stand beside the project.
 */
export async function checkTokenizers([python, older]) {
  const start = Date.now()
  const real = join('..', 'shared', 'real')
  const found = (path) => {
    if (existsSync(path)) return [path]
    console.log(`skipped, ${path} is not there`)
    return []
  }
  const corpus = join(temporary, 'corpus.txt')
  const kinds = await writeCorpus(corpus, corpusLines, python)
  const lines = Object.values(kinds).reduce((sum, count) => sum + count, 0)
  const shares = Object.entries(kinds).map(([kind, count]) => `${count} of ${kind}`)
  console.log(`corpus: ${lines} lines, ${shares.join(', ')}`)
  const folders = (models) =>
    models.map(([name, source]) => {
      const folder = join(temporary, 'tokenizers', name)
      openllama(['tokenizer', 'convert', source, '--to', 'tokenizer.json', '--out', folder])
      openllama(['tokenizer', 'convert', source, '--to', 'tokenizer.model', '--out', folder])
      return folder
    })
  const inp = found(join(real, 'llama.cpp-vocab', 'probes.inp'))
  const own = ['v1', 'v2'].flatMap((generation) =>
    found(join(real, 'openllama-tokenizers', generation, 'tokenizer.model')).map((path) => [
      generation,
      path,
    ]),
  )
  const tiny = models.map((model) => [model, `${fixtures}/${model}/easylm/tokenizer.model`])
  const texts = [...inp, corpus]
  check(python, 'check_tokenizers.py', ...folders([...own, ...tiny]), '--', ...texts)
  for (const [model, folder] of models.map((model) => [
    model,
    join(temporary, 'tokenizers', model),
  ])) {
    // With the ids and texts that are expected; in transformers 4 too.
    const expected = join(fixtures, model, 'expected', 'tokens.json')
    check(python, 'check_tokenizers.py', folder, '--', expected)
    check(older, 'check_tokenizers.py', folder, '--', expected, ...inp)
  }
  console.log(`tokenizers: ${Math.round((Date.now() - start) / 1000)} s`)
}
