import { dirname, join, posix, relative, sep } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { readProvenance } from '../convert/provenance.js'
import { provenanceBeside, provenanceName } from '../convert/staging.js'
import { inputError } from '../io/errors.js'
import { formatJson, isJsonObject, type JsonObject } from '../io/json.js'
import { writeOutputs } from '../io/output.js'
import { statThere } from '../io/there.js'
import { type CheckRecord, roundFigures } from '../record/check.js'

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
    provenanceBeside(first.path),
    join(folder, provenanceName),
    join(dirname(folder), provenanceName),
  ]
  for (const place of places) {
    if (!(await statThere(place))?.isFile()) continue
    const recorded = sizesIn(await readProvenance(place))
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
  throw inputError(`there is no ${provenanceName} that lists it, to keep the figures in`, {
    format,
    path: first.path,
    suggestions: ['Only what `openllama convert` wrote has one; leave --record out.'],
  })
}

/** Puts what a check found into the record of a conversion, in the place of an earlier check. */
export async function keepCheck(place: string, check: CheckRecord): Promise<void> {
  const record = { ...(await readProvenance(place)), check: roundFigures(check) }
  await writeOutputs([{ path: place, bytes: new TextEncoder().encode(formatJson(record)) }], true)
}

function sizesIn({ target }: JsonObject): Map<string, number> {
  const files = isJsonObject(target) && Array.isArray(target.files) ? target.files : []
  return new Map(
    files.flatMap((file) => {
      const { name, bytes } = isJsonObject(file) ? file : {}
      return typeof name === 'string' && typeof bytes === 'number' ? [[name, bytes] as const] : []
    }),
  )
}

/** What a file is called in a record. */
function nameFrom(place: string, file: string): string {
  return relative(dirname(place), file).split(sep).join(posix.sep)
}
