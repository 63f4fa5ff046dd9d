import { dirname, join, posix, relative, sep } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { inputError } from '../io/errors.js'
import { formatJson, type JsonObject } from '../io/json.js'
import { writeOutputs } from '../io/output.js'
import { statThere } from '../io/there.js'
import { type CheckRecord, roundFigures } from '../record/check.js'
import { listedFiles, readRecord, recordBeside, recordName } from '../record/record.js'

/**
 * The record of the conversion that made an artifact: beside a single file, or in its folder, or,
 * as ONNX has its graph in a folder of its own, in the one above.
 * @throws input error where there is none, or none that is of these files
 */
export async function findRecord({ format, path, files }: Checkpoint): Promise<string> {
  const [first] = files
  if (first === undefined) throw inputError('it has no files', { format, path })
  const folder = dirname(first.path)
  const places = [
    recordBeside(first.path),
    join(folder, recordName),
    join(dirname(folder), recordName),
  ]
  for (const place of places) {
    if (!(await statThere(place))?.isFile()) continue
    const recorded = sizesIn(await readRecord(place))
    const wrong = files.find((file) => recorded.get(nameFrom(place, file.path)) !== file.size)
    if (wrong === undefined) return place
    const known = recorded.get(nameFrom(place, wrong.path))
    // One in the folder above may be of another model.
    if (known === undefined) continue
    throw inputError(`it has ${wrong.size} bytes, ${place} says ${known}`, {
      format,
      path: wrong.path,
      suggestions: ['It was changed after its conversion: convert it again.'],
    })
  }
  throw inputError(`there is no ${recordName} that lists it, to keep the figures in`, {
    format,
    path: first.path,
    suggestions: ['Only what `openllama convert` wrote has one; leave `record` out.'],
  })
}

/** Puts what a check found into the record of a conversion, in the place of an earlier check. */
export async function keepCheck(place: string, check: CheckRecord): Promise<void> {
  const record = { ...(await readRecord(place)), check: roundFigures(check) }
  await writeOutputs([{ path: place, bytes: new TextEncoder().encode(formatJson(record)) }], true)
}

function sizesIn(record: JsonObject): Map<string, number> {
  const files = listedFiles(record) ?? []
  return new Map(files.flatMap((file) => (file ? [[file.name, file.bytes] as const] : [])))
}

/** What a file is called in a record. */
function nameFrom(place: string, file: string): string {
  return relative(dirname(place), file).split(sep).join(posix.sep)
}
