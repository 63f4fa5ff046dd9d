/** What puts the pieces of a distributed training run together: the steps that errors advise. */

export const mergeFsdp =
  'Merge the shards first: accelerate merge-weights FOLDER OUT (of verl: python -m verl.model_merger merge), or save with FULL_STATE_DICT.'

export const mergeZero =
  'Put the partitions together first: python zero_to_fp32.py FOLDER OUT, which DeepSpeed saves beside them.'
