import { shown } from '../checkpoint/geometry.js'
import type { Diff, TensorDifference } from '../compare/diff.js'
import { formatTable } from './table.js'

/** Tensors that differ are listed up to this many; `--json` has them all. */
const most = 40

/** What two checkpoints have and have not in common, for people. */
export function describeDiff({ same, tensors, config, tokenizer }: Diff): string {
  const lines: string[] = []
  const count = (status: TensorDifference['status']) =>
    tensors.filter((tensor) => tensor.status === status).length
  const equal = count('equal')
  const cast = count('cast')
  const rest = tensors.filter(({ status }) => status !== 'equal' && status !== 'cast')
  lines.push(same ? 'the same model' : 'not the same model')
  const counts = [`${equal} of ${tensors.length} tensors are equal`]
  if (cast > 0) counts.push(`${cast} are equal after a cast to ${casts(tensors).join(' or ')}`)
  if (rest.length > 0) counts.push(`${rest.length} are not`)
  lines.push(counts.join(', '))
  if (config.length > 0) {
    const rows = config.map(({ field, values: [a, b], computes }) => [
      `  ${field}`,
      JSON.stringify(a),
      JSON.stringify(b),
      computes ? '' : 'computes the same',
    ])
    lines.push('configuration', formatTable(rows))
  }
  if (tokenizer.length > 0) lines.push('tokenizer', ...tokenizer.map((each) => `  ${each}`))
  if (rest.length > 0) {
    lines.push(
      'tensors',
      formatTable(
        rest.slice(0, most).map((tensor) => [`  ${tensor.name}`, describeTensor(tensor)]),
      ),
    )
    if (rest.length > most) lines.push(`  and ${rest.length - most} more`)
  }
  return lines.join('\n')
}

function casts(tensors: readonly TensorDifference[]): string[] {
  return [...new Set(tensors.flatMap((tensor) => (tensor.status === 'cast' ? [tensor.cast] : [])))]
}

function describeTensor(tensor: TensorDifference): string {
  switch (tensor.status) {
    case 'equal':
      return 'equal'
    case 'cast':
      return `equal after a cast to ${tensor.cast}`
    case 'missing':
      return 'only the second has it'
    case 'extra':
      return 'only the first has it'
    case 'shape':
      return `${shown(tensor.shapes[0])} and ${shown(tensor.shapes[1])}`
    case 'different': {
      const { count, elements, largest, first } = tensor
      const [a, b] = first.values
      return `${count} of ${elements} values differ, by ${largest.toPrecision(3)} at most; first at row ${first.row}, column ${first.column}: ${a} and ${b}`
    }
  }
}
