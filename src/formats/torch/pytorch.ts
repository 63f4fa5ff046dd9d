import { dirname } from 'node:path'
import { placeIn } from '../../checkpoint/bindings.js'
import type { Checkpoint, Listing, StoredArray } from '../../checkpoint/checkpoint.js'
import type { Tensor } from '../../checkpoint/tensor.js'
import { stateNames } from '../../checkpoint/wrapped.js'
import { append } from '../../io/append.js'
import type { Format, Target, TargetFile, TargetOptions } from '../format.js'
import { boundInHf, hfFiles } from '../hf/folder.js'
import {
  checkOnce,
  defaultShard,
  joinShards,
  onlyIndex,
  shardIndex,
  shardName,
  shardSiblings,
  shardsOf,
  splitShards,
} from '../hf/shards.js'
import { listTorchFile, startsTorchFile, type TorchFile } from './file.js'
import { layOutTorchFile } from './layout.js'
import { configFromParams, paramsBeside } from './meta-params.js'
import { startsTextPickle } from './pickle-opcodes.js'

/** PyTorch's state dicts with Hugging Face's names: pytorch_model.bin, or its shards. */
export const pytorch: Format = {
  name: 'pytorch',
  title: 'PyTorch state dict',
  traits: {
    short: 'PyTorch',
    engine: 'onnxruntime',
    graph: false,
    loading: 'from_pretrained',
    standalone: false,
    tokenizer: 'beside',
    metadata: false,
    library: 'transformers',
    tags: ['pytorch'],
    rank: 2,
    tagRank: 5,
  },
  options: ['maxShardSize', 'keepTokenizer'],

  detect: (head, name) =>
    startsTorchFile(head) || (/\.(pkl|pickle)$/i.test(name) && startsTextPickle(head)),

  detectDirectory(entries) {
    const usual =
      [indexName, 'pytorch_model.bin'].find((name) => entries.includes(name)) ??
      onlyIndex(entries, /\.(bin|pt|pth)\.index\.json$/)
    if (usual !== undefined) return usual
    const files = entries.filter(
      (name) =>
        /\.(bin|pt|pth|ckpt)$/.test(name) &&
        !name.startsWith('consolidated.') &&
        !isBesideWeights(name),
    )
    return shardsOf(files, 'bin|pt|pth') ?? (files.length === 1 ? files[0] : undefined)
  },

  async open(path) {
    const index = path.endsWith('.index.json') ? await joinShards(path, 'pytorch') : undefined
    const files: TorchFile[] = []
    for (const file of index?.files ?? (await shardSiblings(path, 'pytorch'))) {
      files.push(await listTorchFile(file, 'pytorch'))
    }
    const arrays = files.flatMap((file) => file.arrays)
    if (index)
      index.check(
        arrays,
        files.flatMap((file) => file.others),
      )
    else checkOnce(arrays, 'pytorch')
    return listing(path, files)
  },

  describe,
}

const indexName = 'pytorch_model.bin.index.json'

/** What a Trainer, DeepSpeed and FSDP save beside the weights, or in pieces: no models. */
const besideWeights = [
  /^training_args\.bin$/,
  /^(optimizer|scheduler|scaler|sampler)(_\d+)?\.(pt|bin)$/,
  /^(rng_state|random_states|custom_checkpoint)(_\w+)?\.(pth|pkl)$/,
  /zero_pp_rank_\d+_mp_rank_\d+_\w+_states\.pt$/,
  /^(model|optim|extra_state)_world_size_\d+_rank_\d+\.pt$/,
]

/** Whether a file of this name is of training alone: an optimiser's state, random state, settings. */
export function isBesideWeights(name: string): boolean {
  return besideWeights.some((pattern) => pattern.test(name))
}

async function listing(path: string, files: TorchFile[]): Promise<Listing> {
  const arrays = files.flatMap((file) => file.arrays)
  const others = files.flatMap((file) => file.others)
  // Meta's own names are found in single files too, whatever those are called.
  const { notes, ...named } = stateNames(arrays, others, { format: 'pytorch', path })
  const told = named.naming === 'meta' ? await toldBy(path, files, named.arrays) : undefined
  return {
    format: 'pytorch',
    path,
    files: files.map(({ file }) => file),
    ...named,
    ...(told ? { config: told.config } : {}),
    notes: [...new Set(files.flatMap((file) => file.notes)), ...notes, ...(told?.notes ?? [])],
  }
}

/** What the constructor's arguments say that are in the file, or in the params.json beside it. */
async function toldBy(path: string, files: TorchFile[], arrays: readonly StoredArray[]) {
  const args = files.find(({ modelArgs }) => modelArgs !== undefined)?.modelArgs
  if (args === undefined) return paramsBeside(dirname(path), arrays)
  return configFromParams(args, `${path} (model_args)`, undefined)
}

/** Lays out a checkpoint of one or more shards with its configuration. */
function describe(checkpoint: Checkpoint, options: TargetOptions): Target {
  const arrays = boundInHf(checkpoint, options)
  const shards = splitShards(arrays, ({ bytes }) => bytes, options.maxShardSize ?? defaultShard)
  const files: TargetFile[] = []
  const tensors: Tensor[] = []
  const named = shards.map((arrays, i) => ({
    file: shardName('pytorch_model', 'bin', i, shards.length),
    arrays,
  }))
  for (const { file: name, arrays: shard } of named) {
    const { file, begins } = layOutTorchFile(name, shard)
    files.push(file)
    shard.forEach((array, k) => {
      append(tensors, placeIn(array, { path: name, offset: begins[k] ?? 0 }))
    })
  }
  if (named.length > 1) files.push(shardIndex(indexName, named))
  const beside = hfFiles(checkpoint, tensors, options)
  files.push(...beside.files)
  return {
    format: 'pytorch',
    files,
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    notes: beside.notes,
  }
}
