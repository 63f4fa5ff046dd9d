import { readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { KeyAssignment } from '../formats/gguf/assign.js'
import { OpenLlamaError } from '../io/errors.js'
import { formatJson, isJsonObject, type Json, type JsonObject } from '../io/json.js'
import type { Lock } from '../io/lock.js'
import { statsOf } from '../io/tree.js'
import { fileIn, readRecord, recordName, recordsOf } from '../record/record.js'
import {
  type RecordOfFile,
  type SetOptions,
  type SetResult,
  setMetadata,
  undoInterrupted,
  undoneNote,
} from './apply-edit.js'
import { lockOutput } from './output-lock.js'

/**
 * Sets metadata of a GGUF file and keeps the record of its conversion true: size, hash and options
 * there are those of the file as it is afterwards, so that `push`, `check --record` and a repeated
 * `convert` take it.
 */
export async function setRecordedMetadata(
  file: string,
  assignments: readonly KeyAssignment[],
  options: Omit<SetOptions, 'record'>,
): Promise<SetResult> {
  if (options.dryRun) return setMetadata(file, assignments, options)
  const locks = await lock(file)
  try {
    // It may be the record that is to be restored.
    const come = await undoInterrupted(file)
    const restored = come === 'undone'
    const record = assignments.length === 0 ? undefined : await recordOf(file, assignments)
    if (come !== 'none' && assignments.length === 0) {
      const warnings = restored ? [undoneNote] : []
      return { edit: { kind: 'none', changes: [] }, restored, warnings }
    }
    const result = await setMetadata(file, assignments, {
      ...options,
      ...(record === undefined ? {} : { record }),
    })
    return restored ? { ...result, restored, warnings: [undoneNote, ...result.warnings] } : result
  } finally {
    for (const each of locks) await each.release()
  }
}

/** Neither a conversion nor another change is to be at work on the file, or on its folder. */
async function lock(file: string): Promise<Lock[]> {
  const locks = [await lockOutput(file)]
  const folder = dirname(file)
  try {
    const isOutput = await statsOf(join(folder, recordName))
    if (isOutput !== undefined && !/^\.{0,2}$/.test(basename(folder))) {
      locks.push(await lockOutput(folder))
    }
  } catch (error) {
    // Nobody writes an output to where no lock can be.
    if (error instanceof OpenLlamaError && error.path?.endsWith('.lock')) return locks
    for (const each of locks) await each.release()
    throw error
  }
  return locks
}

/** The record that lists a file: its own, or its folder's. */
async function recordOf(
  file: string,
  assignments: readonly KeyAssignment[],
): Promise<RecordOfFile | undefined> {
  const name = basename(file)
  for (const path of recordsOf(file)) {
    if ((await statsOf(path)) === undefined) continue
    const record = await readRecord(path)
    const listed = fileIn(record, name)
    if (listed === undefined) continue
    return {
      path,
      text: await readFile(path, 'utf8'),
      next(before, after, changes) {
        const { bytes, sha256 } = listed
        if (bytes !== before.bytes || (typeof sha256 === 'string' && sha256 !== before.sha256)) {
          return {
            warnings: [
              `${basename(path)} has ${bytes === before.bytes ? 'another SHA-256' : `${JSON.stringify(bytes)} bytes`} for the file than it had before this change: it was left as it is, and is not of this file`,
            ],
          }
        }
        const isOf = changes.some(({ key }) => !/^general\.(?!sampling\.)/.test(key))
        const dropsCheck = isOf && record.check !== undefined
        const { check: _, ...unchecked } = record
        const next = changed(dropsCheck ? unchecked : record, name, after, assignments)
        return {
          text: formatJson(next),
          warnings: dropsCheck
            ? [
                `the check in ${basename(path)} was of other metadata and is no longer in it: openllama check ${file} --against SOURCE --record`,
              ]
            : [],
        }
      },
    }
  }
  return undefined
}

/** The record with the file's new size, hash and options. */
function changed(
  record: JsonObject,
  name: string,
  { bytes, sha256 }: { bytes: number; sha256: string },
  assignments: readonly KeyAssignment[],
): JsonObject {
  const target = isJsonObject(record.target) ? record.target : {}
  const files = Array.isArray(target.files) ? target.files : []
  const options = isJsonObject(record.options) ? record.options : {}
  return {
    ...record,
    target: {
      ...target,
      files: files.map((each) =>
        isJsonObject(each) && each.name === name
          ? // Without a hash it was, and so it stays.
            { ...each, bytes, sha256: each.sha256 === null ? null : sha256 }
          : each,
      ),
    },
    options: { ...options, metadata: withAssignments(options.metadata, assignments) },
  }
}

/** What `convert --metadata` would be given for the same file. */
function withAssignments(there: Json | undefined, assignments: readonly KeyAssignment[]): string[] {
  const keys = new Set(assignments.map(({ key }) => key))
  const kept = (Array.isArray(there) ? there : []).filter((each) => typeof each === 'string')
  return [
    ...kept.filter((each) => !keys.has(/^[^=:\s]+/.exec(each)?.[0] ?? '')),
    ...assignments.map(
      ({ key, type, text }) => `${key}${type === undefined ? '' : `:${type}`}=${text}`,
    ),
  ]
}
