import type { Checkpoint } from '../../checkpoint/checkpoint.js'
import { type Extent, storedMatrixOf, type Tensor, wholePart } from '../../checkpoint/tensor.js'
import type { Target, TargetFile, TargetOptions } from '../format.js'
import { hfFiles } from '../hf/folder.js'
import { lossesOf } from '../losses.js'
import type { Holder } from '../target.js'
import type { Segment } from './layout.js'

/** A file of segments: its literal bytes, and where each tensor's own bytes are in it. */
export interface SegmentFile {
  file: TargetFile
  tensors: Tensor[]
}

/** EasyLM's names: what it writes for transformers' Flax models is told when it is read. */
export const easylmHolder: Holder = { naming: 'easylm', reader: 'EasyLM’s code' }

/** Lays out one file; segments that are a tensor's come with it. */
export function layOutFile(
  name: string,
  pieces: readonly { segments: readonly Segment[]; tensor?: Tensor }[],
): SegmentFile {
  const literals: TargetFile['literals'] = []
  const tensors: Tensor[] = []
  let offset = 0
  for (const { segments, tensor } of pieces) {
    const extents: Extent[] = []
    for (const segment of segments) {
      if ('payload' in segment) {
        extents.push({ path: name, offset, length: segment.payload })
        offset += segment.payload
      } else {
        literals.push({ offset, bytes: segment })
        offset += segment.length
      }
    }
    if (tensor) tensors.push({ ...tensor, parts: [wholePart(storedShape(tensor), extents)] })
  }
  return { file: { name, size: offset, literals: joined(literals) }, tensors }
}

/** The shape in the file: kernels are stored [in, out]. */
export function storedShape(tensor: Tensor): number[] {
  return tensor.shape.length === 1 ? [...tensor.shape] : storedMatrixOf(tensor)
}

/** The file, and beside it what a reader without presets needs: configuration and tokenizer. */
export function flaxTarget(
  checkpoint: Checkpoint,
  options: TargetOptions,
  format: 'easylm' | 'flax',
  { file, tensors }: SegmentFile,
): Target {
  const beside = hfFiles(checkpoint, tensors, options)
  return {
    format,
    files: [file, ...beside.files],
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    notes: beside.notes,
    losses: lossesOf(checkpoint.config, {
      reader: easylmHolder.reader,
      window: false,
      scaling: false,
      headDim: false,
    }),
  }
}

/** Literals that touch, as one: a head is written in one piece. */
function joined(literals: TargetFile['literals']): TargetFile['literals'] {
  const result: TargetFile['literals'] = []
  for (const { offset, bytes } of literals) {
    const last = result.at(-1)
    if (last && last.offset + last.bytes.length === offset) {
      last.bytes = Buffer.concat([last.bytes, bytes])
    } else result.push({ offset, bytes })
  }
  return result
}
