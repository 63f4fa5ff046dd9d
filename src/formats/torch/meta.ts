import { dirname } from 'node:path'
import { architectureOf } from '../../architectures/index.js'
import { embeddingName, headName } from '../../architectures/roles.js'
import type { Checkpoint, Listing } from '../../checkpoint/checkpoint.js'
import { roleOf } from '../../checkpoint/names.js'
import { type Part, type Tensor, tensorBytes, wholePart } from '../../checkpoint/tensor.js'
import { inputError, usageError } from '../../io/errors.js'
import { join, listFolder } from '../../io/store.js'
import { resolveTokens } from '../../tokenizer/resolved-tokens.js'
import type { Format, Target, TargetFile, TargetOptions } from '../format.js'
import { jsonFile, literalFile } from '../hf/folder.js'
import { outputTensors } from '../target.js'
import { listTorchFile, startsTorchFile } from './file.js'
import { layOutTorchFile } from './layout.js'
import { joinRanks, pieceOf, type Split, splitOf } from './meta-parallel.js'
import { isThirdGeneration, paramsBeside, paramsFromConfig } from './meta-params.js'

/** Meta's releases: params.json, and one torch file for each rank of model parallelism. */
export const meta: Format = {
  name: 'meta',
  title: 'Meta consolidated.*.pth',
  traits: {
    short: 'Meta',
    engine: 'onnxruntime',
    graph: false,
    loading: 'parts',
    standalone: false,
    tokenizer: 'model',
    metadata: false,
    library: 'pytorch',
    tags: ['pytorch'],
    rank: 7,
    tagRank: 6,
  },
  options: ['modelParallel'],

  detect: (head, name) => filePattern.test(name) && startsTorchFile(head),

  detectDirectory: (entries) => entries.find((name) => filePattern.test(name)),

  async open(path) {
    const folder = dirname(path)
    const names = await rankFiles(folder)
    const files = []
    for (const name of names) files.push(await listTorchFile(join(folder, name), 'meta'))
    const arrays = joinRanks(
      files.map((file) => file.arrays),
      folder,
    )
    const told = await paramsBeside(folder, arrays)
    const others = new Map(files.flatMap((file) => file.others.map((other) => [other.name, other])))
    return {
      format: 'meta',
      path,
      naming: 'meta',
      files: files.map(({ file }) => file),
      arrays,
      others: [...others.values()],
      ...(told ? { config: told.config } : {}),
      notes: [...new Set(files.flatMap(({ notes }) => notes)), ...(told?.notes ?? [])],
    } satisfies Listing
  },

  describe,
}

const filePattern = /^consolidated\.\d\d\.pth$/

function rankFile(rank: number): string {
  return `consolidated.${String(rank).padStart(2, '0')}.pth`
}

/** The files of all ranks, in order. */
async function rankFiles(folder: string): Promise<string[]> {
  const names = (await listFolder(folder)).filter((name) => filePattern.test(name)).sort()
  const missing = names.findIndex((name, rank) => name !== rankFile(rank))
  if (missing >= 0) {
    throw inputError(`${names[missing]} is here, and ${rankFile(missing)} is not`, {
      format: 'meta',
      path: folder,
      suggestions: ['All files of the model are needed; download the missing ones.'],
    })
  }
  return names
}

/** Lays out a checkpoint for one or several ranks. */
function describe(checkpoint: Checkpoint, options: TargetOptions): Target {
  const { config } = checkpoint
  const ranks = options.modelParallel ?? 1
  checkRanks(checkpoint, ranks)
  const architecture = architectureOf(config)
  const wanted = outputTensors(checkpoint, { naming: 'meta', reader: 'Meta’s code' }, options)
  const embedding = wanted.find(({ name }) => name === embeddingName)
  const tied = embedding && !checkpoint.tensors.has(headName) ? headLike(embedding) : undefined
  // One file can have the tied head on the embedding's own storage; several split the two differently.
  const shared = tied && ranks === 1
  if (tied && !shared) wanted.push(tied)
  // LLaMA 3's code splits the embedding by vocabulary; its vocabulary tells it from the others.
  const split: Split = isThirdGeneration(config.vocab_size) ? 'rows' : 'columns'

  const files: TargetFile[] = []
  const parts: Part[][] = wanted.map(() => [])
  for (let rank = 0; rank < ranks; rank++) {
    const pieces = wanted.map((tensor) => {
      const role = roleOf(architecture, tensor.name, 'hf')?.role
      const how = ranks === 1 || role === undefined ? 'copies' : splitOf(role, split)
      return pieceOf(tensor.shape, how, rank, ranks)
    })
    const entries = wanted.map(({ storedName, dtype }, i) => ({
      name: storedName,
      dtype,
      shape: pieces[i]?.shape ?? [],
    }))
    const embedded = entries.find((_, i) => wanted[i] === embedding)
    const name = rankFile(rank)
    const { file, begins } = layOutTorchFile(
      name,
      entries,
      shared && embedded ? new Map([[tied.storedName, embedded]]) : new Map(),
    )
    files.push(file)
    entries.forEach(({ dtype, shape }, i) => {
      const { row = 0, column = 0 } = pieces[i] ?? {}
      const extent = { path: name, offset: begins[i] ?? 0, length: tensorBytes({ dtype, shape }) }
      parts[i]?.push({ ...wholePart(shape, [extent]), row, column })
    })
  }
  const tensors = wanted.map((tensor, i): Tensor => ({ ...tensor, parts: parts[i] ?? [] }))
  const resolved = options.resolved ?? resolveTokens(checkpoint, options)
  const { params, notes, losses } = paramsFromConfig(resolved.config)
  files.push(jsonFile('params.json', params))
  const { tokenizer, keptTokenizer } = options
  const model = tokenizer ?? keptTokenizer?.find(({ name }) => name === 'tokenizer.model')
  if (model) files.push(literalFile('tokenizer.model', model.bytes))
  return {
    format: 'meta',
    files,
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    notes: [
      ...resolved.notes,
      ...(model === undefined && resolved.json !== undefined
        ? [
            'Meta’s code wants a tokenizer.model, and there is only a tokenizer.json: none is written',
          ]
        : []),
      ...notes,
      ...(tied ? ['the output head is written too, as Meta’s code wants it: the embedding'] : []),
    ],
    losses,
  }
}

/** The output head that a tied embedding serves as. */
function headLike(embedding: Tensor): Tensor {
  return { ...embedding, name: headName, storedName: 'output.weight' }
}

/** Two digits stand in a file's name, from 00 on. */
const mostRanks = 100

/** @throws usage error where a rank's share would be no whole number of rows or heads */
function checkRanks({ config }: Checkpoint, ranks: number): void {
  const sizes = {
    'attention heads': config.num_attention_heads,
    'key-value heads': config.num_key_value_heads,
    'hidden columns': config.hidden_size,
    'intermediate rows': config.intermediate_size,
    'vocabulary entries': config.vocab_size,
  }
  if (ranks > mostRanks) {
    throw usageError(`\`modelParallel\` is ${ranks}, file names have room for ${mostRanks}`)
  }
  for (const [what, size] of Object.entries(sizes)) {
    if (size % ranks !== 0) {
      throw usageError(`\`modelParallel\` ${ranks} does not divide the model's ${size} ${what}`)
    }
  }
}
