import { traitsOf } from '../../formats/index.js'
import { formatBytes } from '../../io/units.js'
import type { Artifact, FileSize } from '../artifacts.js'
import { code, plain, table } from '../markdown.js'
import type { Subject } from '../subject.js'

/** What there is in the directory: weights with types and bits, and what lies beside them. */
export function filesSection({ artifacts, others }: Subject): string {
  const rows = artifacts.map((artifact) => [
    shownFiles(artifact),
    traitsOf(artifact.format).short,
    shownTypes(artifact),
    formatBytes(total(artifact.files)),
    artifact.bitsPerWeight === undefined ? '?' : artifact.bitsPerWeight.toFixed(2),
  ])
  const parts = [
    '## Files',
    table(['File', 'Format', 'Types (tensors)', 'Size', 'Bits per weight'], rows, [3, 4]),
    'Bits per weight are averaged over all weights, including the scales of quantized types and the tensors that keep a wider type.',
  ]
  if (others.length > 0) {
    parts.push(
      `Other files: ${others.map(({ name, bytes }) => `${code(name)} (${formatBytes(bytes)})`).join(', ')}.`,
    )
  }
  return parts.join('\n\n')
}

function shownFiles({ files, format }: Artifact): string {
  const names = files.map(({ name }) => code(name))
  if (traitsOf(format).graph || names.length <= 2) return names.join('<br>')
  return `${names[0]} … ${names.at(-1)} (${names.length} files)`
}

function shownTypes({ types }: Artifact): string {
  if (types.size === 0) return '?'
  return [...types]
    .sort(([, a], [, b]) => b - a)
    .map(([type, count]) => `${plain(type)} × ${count}`)
    .join(', ')
}

function total(files: readonly FileSize[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0)
}
