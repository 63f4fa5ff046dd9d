import { list } from '../checkpoint/geometry.js'
import { mergeFirst } from '../checkpoint/quantized.js'
import { mergeFsdp, mergeZero } from '../formats/torch/shards.js'
import { inputError } from '../io/errors.js'
import { readJsonObject } from '../io/json.js'
import { isRemote, join, kindOf, listFolder } from '../io/store.js'

/** What PEFT saves of an adapter. */
const adapterConfig = 'adapter_config.json'
const adapterWeights =
  /^adapter_model(-\d{5}-of-\d{5})?\.(safetensors|bin)$|^adapter_model\.(safetensors|bin)\.index\.json$/

/** Whether a folder has an adapter of PEFT in it, alone or beside a model. */
export function hasAdapter(entries: readonly string[]): boolean {
  return entries.includes(adapterConfig)
}

export function isAdapterFile(name: string): boolean {
  return adapterWeights.test(name)
}

/** A configuration of an adapter has some kilobytes. */
const maxConfig = 4 * 1024 * 1024

/** The error for a folder that has an adapter and no model. */
export async function adapterAlone(folder: string): Promise<Error> {
  const path = join(folder, adapterConfig)
  const json = await readJsonObject(path, maxConfig)
  const { base_model_name_or_path: base, peft_type: type } = json
  const kind =
    typeof type === 'string' && type !== 'LORA' ? `an adapter (${type})` : 'a LoRA adapter'
  const of = typeof base === 'string' && base !== '' ? ` of ${base}` : ''
  return inputError(`it is ${kind}${of} (${adapterConfig}), not a model`, {
    path: folder,
    suggestions: [mergeFirst],
  })
}

/** Folders of models that are saved in other ways, by names that they have in them. */
const kinds: readonly { has: RegExp; what: string; todo: string }[] = [
  {
    has: /\.distcp$/,
    what: 'shards of FSDP as torch.distributed.checkpoint writes them',
    todo: mergeFsdp,
  },
  {
    has: /^model_world_size_\d+_rank_\d+\.pt$/,
    what: 'shards of FSDP (DTensor), one for each rank',
    todo: mergeFsdp,
  },
  {
    has: /^(zero_to_fp32\.py|global_step\d+|(bf16_)?zero_pp_rank_\d+_mp_rank_\d+_\w+_states\.pt)$/,
    what: "a checkpoint of DeepSpeed's ZeRO",
    todo: mergeZero,
  },
  {
    has: /^pytorch_model_fsdp(_\d+)?$/,
    what: 'a checkpoint of Accelerate with FSDP',
    todo: mergeFsdp,
  },
  {
    has: /^model_index\.json$/,
    what: 'a pipeline of Diffusers, which makes pictures',
    todo: 'Only language models of the LLaMA family are read.',
  },
  {
    has: /^tf_model(-\d{5}-of-\d{5})?\.h5$|^tf_model\.h5\.index\.json$|^saved_model\.pb$|\.ckpt\.(index|data-\d{5}-of-\d{5})$/,
    what: 'a model of TensorFlow',
    todo: 'Load it with from_tf=True in transformers 4, call save_pretrained(), and convert that.',
  },
  {
    has: /^(manifest\.ocdbt|_CHECKPOINT_METADATA|ocdbt\.process_0|_METADATA)$/,
    what: 'a checkpoint of Orbax (JAX)',
    todo: 'Restore it in JAX and save it with flax.serialization, or as Hugging Face safetensors.',
  },
  {
    has: /^weights(\.\d+)?\.npz$/,
    what: 'a model of MLX in numpy’s archives',
    todo: 'Save it as safetensors with mlx_lm.',
  },
  {
    has: /\.nemo$/,
    what: 'a model of NeMo',
    todo: 'Export it to Hugging Face’s format with NeMo’s own converter first.',
  },
]

const unfinished = /\.(incomplete|part|partial|crdownload|aria2)$/i

/** The error for a folder in which nothing is read: what it has in the place of a checkpoint. */
export async function noCheckpoint(
  folder: string,
  entries: readonly string[],
  formats: readonly string[],
): Promise<Error> {
  const kind = kinds.find(({ has }) => entries.some((name) => has.test(name)))
  if (kind !== undefined) {
    return inputError(`it holds ${kind.what}, and no checkpoint that is read`, {
      path: folder,
      suggestions: [kind.todo],
    })
  }
  const begun = await unfinishedIn(folder, entries)
  const dead = await deadLinks(folder, entries)
  const found = [
    ...(begun.length > 0
      ? [
          `${begun.length === 1 ? 'a download that was' : `${begun.length} downloads that were`} not finished: ${list(begun, 3)}`,
        ]
      : []),
    ...(dead.length > 0
      ? [`${dead.length === 1 ? 'a link' : `${dead.length} links`} to nowhere: ${list(dead, 3)}`]
      : []),
  ]
  if (found.length > 0) {
    return inputError(`no checkpoint is in this directory, but ${found.join(', and ')}`, {
      path: folder,
      suggestions: ['Pull the repository again: openllama pull OWNER/REPO goes on where it ended.'],
    })
  }
  return inputError('no checkpoint is in this directory', {
    path: folder,
    suggestions: [`Known are ${formats.join(', ')}.`],
  })
}

/** Files that a download leaves until it is done: beside, in huggingface_hub's folder, among blobs. */
async function unfinishedIn(folder: string, entries: readonly string[]): Promise<string[]> {
  if (isRemote(folder)) return []
  const places = [
    ['.cache', 'huggingface', 'download'],
    ['..', '..', 'blobs'],
  ]
  const found = entries.filter((name) => unfinished.test(name))
  for (const place of places) {
    const path = join(folder, ...place)
    if (place[0] === '..' && !/[/\\]snapshots[/\\][^/\\]+[/\\]?$/.test(folder)) continue
    if ((await kindOf(path)) !== 'folder') continue
    found.push(...(await listFolder(path)).filter((name) => unfinished.test(name)))
  }
  return found
}

async function deadLinks(folder: string, entries: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const name of entries) {
    if ((await kindOf(join(folder, name))) === undefined) found.push(name)
  }
  return found
}
