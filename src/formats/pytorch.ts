import { basename, dirname } from 'node:path'
import type { Checkpoint, Listing, StoredArray } from '../checkpoint/checkpoint.js'
import { type Tensor, tensorBytes } from '../checkpoint/tensor.js'
import { inputError } from '../io/errors.js'
import { join } from '../io/store.js'
import type { Format, Target, TargetFile, TargetOptions } from './format.js'
import { hfFiles } from './hf-folder.js'
import { paramsBeside } from './meta-params.js'
import { listTorchFile, startsTorchFile, type TorchFile } from './pytorch-file.js'
import { layOutTorchFile } from './pytorch-layout.js'
import { defaultShard, joinShards, shardIndex, shardName, splitShards } from './shards.js'
import { outputTensors } from './target.js'

/** PyTorch's state dicts with Hugging Face's names: pytorch_model.bin, or its shards. */
export const pytorch: Format = {
  name: 'pytorch',
  title: 'PyTorch state dict',

  detect: startsTorchFile,

  detectDirectory(entries) {
    if (entries.includes(indexName)) return indexName
    if (entries.includes('pytorch_model.bin')) return 'pytorch_model.bin'
    const shard = entries.find((name) => shardPattern.test(name))
    if (shard !== undefined) return shard
    const files = entries.filter(
      (name) => /\.(bin|pt|pth)$/.test(name) && !/^(consolidated\.|training_args\.bin$)/.test(name),
    )
    return files.length === 1 ? files[0] : undefined
  },

  async open(path) {
    const shards = path.endsWith('.index.json') ? await joinShards(path, 'pytorch') : undefined
    const files: TorchFile[] = []
    for (const file of shards?.files ?? (await siblings(path))) {
      files.push(await listTorchFile(file, 'pytorch'))
    }
    const arrays = files.flatMap((file) => file.arrays)
    if (shards) shards.check(arrays)
    else checkOnce(arrays)
    return listing(path, files, arrays)
  },

  describe,
}

const indexName = 'pytorch_model.bin.index.json'

/** A shard: the stem, its number, the number of all. */
const shardPattern = /^(.+)-(\d{5})-of-(\d{5})\.(bin|pt|pth)$/

/** All shards of the checkpoint that a file is one of, by their names, where there is no index. */
async function siblings(path: string): Promise<string[]> {
  const match = shardPattern.exec(basename(path))
  if (match === null) return [path]
  const [, stem, number, last = '', extension] = match
  const count = Number(last)
  if (Number(number) > count || Number(number) === 0) {
    throw inputError(`it would be shard ${Number(number)} of ${count}`, { format: 'pytorch', path })
  }
  const digits = (n: number) => String(n).padStart(5, '0')
  return Array.from({ length: count }, (_, i) =>
    join(dirname(path), `${stem}-${digits(i + 1)}-of-${last}.${extension}`),
  )
}

function checkOnce(arrays: readonly StoredArray[]): void {
  const paths = new Map<string, string | undefined>()
  for (const { name, parts } of arrays) {
    const path = parts[0]?.extents[0]?.path
    if (paths.has(name)) {
      throw inputError(`it is in ${paths.get(name)} too`, { format: 'pytorch', path, tensor: name })
    }
    paths.set(name, path)
  }
}

async function listing(path: string, files: TorchFile[], arrays: StoredArray[]): Promise<Listing> {
  // Meta's own names are found in single files too, whatever those are called.
  const naming = arrays.some(({ name }) => name === 'tok_embeddings.weight') ? 'meta' : 'hf'
  const told = naming === 'meta' ? await paramsBeside(dirname(path), arrays) : undefined
  return {
    format: 'pytorch',
    path,
    naming,
    files: files.map(({ file }) => file),
    arrays,
    ...(told ? { config: told.config } : {}),
    notes: [...new Set(files.flatMap(({ notes }) => notes)), ...(told?.notes ?? [])],
  }
}

/** Lays out a checkpoint of one or more shards with its configuration. */
function describe(checkpoint: Checkpoint, options: TargetOptions): Target {
  const wanted = outputTensors(checkpoint, 'hf', options)
  const shards = splitShards(wanted, tensorBytes, options.maxShardSize ?? defaultShard)
  const files: TargetFile[] = []
  const tensors: Tensor[] = []
  shards.forEach((shard, i) => {
    const name = shardName('pytorch_model', 'bin', i, shards.length)
    const { file, parts } = layOutTorchFile(name, shard)
    files.push(file)
    shard.forEach((tensor, k) => {
      const part = parts[k]
      tensors.push({ ...tensor, parts: part ? [part] : [] })
    })
  })
  if (shards.length > 1) files.push(shardIndex(indexName, tensors))
  const beside = hfFiles(checkpoint, tensors, options)
  files.push(...beside.files)
  return {
    format: 'pytorch',
    files,
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    notes: beside.notes,
  }
}
