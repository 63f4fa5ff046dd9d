import { basename, dirname, join, resolve } from 'node:path'
import { inputError, OpenLlamaError } from '../io/errors.js'
import { type OutputFile, writeOutputs } from '../io/output.js'
import type { OpenedTokenizer } from '../open/tokenizer.js'
import { type TokenizerFacts, tokenizerFacts } from '../tokenizer/generation.js'
import type { KeptFile, LoadedTokenizer } from '../tokenizer/load.js'
import { tokenizerFiles } from '../tokenizer/tokenizer-files.js'
import { judgeOwn, proveRebuilt, proveTokenizer } from './tokenizer-proof.js'

/** The files that a tokenizer can be written as. */
export const tokenizerTargets = ['tokenizer.json', 'tokenizer.model'] as const

export type TokenizerTarget = (typeof tokenizerTargets)[number]

export interface ConvertTokenizerOptions {
  to: TokenizerTarget
  /** A folder, or a file where the path ends as `to` does; by default the working directory. */
  out?: string
  force: boolean
}

export interface ConvertedTokenizer {
  /** What was written, the file that was asked for first. */
  files: { path: string; bytes: number }[]
  /** Of a SentencePiece model. */
  facts?: TokenizerFacts
  warnings: string[]
}

/**
 * Writes a tokenizer as one of the files that programs load it from. A
 * tokenizer.json is held against SentencePiece first, and comes with the two files
 * that transformers needs beside it.
 */
export async function convertTokenizer(
  opened: OpenedTokenizer,
  { to, out = '.', force }: ConvertTokenizerOptions,
): Promise<ConvertedTokenizer> {
  const { tokenizer, json, notes } = opened
  if (tokenizer === undefined) {
    if (opened.made === undefined || to !== 'tokenizer.json') throw noModel(opened, to)
    return writeMade(opened.made, resolve(isFile(out, to) ? out : join(out, to)), force, notes)
  }
  const path = resolve(isFile(out, to) ? out : join(out, to))
  const warnings = [...notes]
  let files: OutputFile[]
  if (to === 'tokenizer.model') {
    if (tokenizer.json !== undefined) {
      warnings.push(...(await proveRebuilt(tokenizer, tokenizer.json)))
    }
    files = [{ path, bytes: tokenizer.bytes }]
  } else {
    const made = jsonFiles(tokenizer, opened, path)
    files = made.files
    const proof = await proveTokenizer(tokenizer, made.text)
    if (proof.wrong !== undefined) throw wrongJson(proof.wrong, tokenizer)
    warnings.push(...made.warnings, ...proof.warnings)
    if (json !== undefined) warnings.push(...(await judgeOwn(tokenizer, json, false)))
  }
  await writeOutputs(files, force)
  return {
    files: files.map((file) => ({ path: file.path, bytes: file.bytes.length })),
    facts: tokenizerFacts(tokenizer.model),
    warnings,
  }
}

/** Whether `--out` names the file itself. */
function isFile(out: string, to: TokenizerTarget): boolean {
  return out.endsWith(to.slice('tokenizer'.length))
}

/** What was made of a GGUF's byte-level BPE; under another name only the tokenizer.json. */
async function writeMade(
  made: readonly KeptFile[],
  path: string,
  force: boolean,
  warnings: string[],
): Promise<ConvertedTokenizer> {
  const alone = basename(path) !== 'tokenizer.json'
  const files = made.flatMap(({ name, bytes }) =>
    name === 'tokenizer.json'
      ? [{ path, bytes }]
      : alone
        ? []
        : [{ path: join(dirname(path), name), bytes }],
  )
  await writeOutputs(files, force)
  return { files: files.map((file) => ({ path: file.path, bytes: file.bytes.length })), warnings }
}

/** The tokenizer.json; under its own name with the files that transformers looks for beside it. */
function jsonFiles(
  { model, path: name, sources }: LoadedTokenizer,
  { configured }: OpenedTokenizer,
  path: string,
): { files: OutputFile[]; text: string; warnings: readonly string[] } {
  const { files, warnings } = tokenizerFiles(model, name, { ...configured, sources })
  const bytesOf = (text: string) => new TextEncoder().encode(text)
  const text = files['tokenizer.json']
  const alone = basename(path) !== 'tokenizer.json'
  return {
    text,
    warnings,
    files: alone
      ? [{ path, bytes: bytesOf(text) }]
      : Object.entries(files).map(([each, content]) => ({
          path: join(dirname(path), each),
          bytes: bytesOf(content),
        })),
  }
}

function wrongJson(wrong: string, { path }: LoadedTokenizer): OpenLlamaError {
  return new OpenLlamaError('check', wrong, {
    path,
    suggestions: [
      'Nothing was written. Programs that load the tokenizer.model itself get the right tokens.',
    ],
  })
}

function noModel({ source, json, gguf }: OpenedTokenizer, to: TokenizerTarget): Error {
  if (json !== undefined) {
    return inputError(`there is only a tokenizer.json, which no ${to} can be made from`, {
      path: source,
      suggestions: ['Programs take the tokenizer.json as it is; `openllama convert` carries it.'],
    })
  }
  return inputError('its vocabulary does not come from SentencePiece', {
    path: gguf?.path ?? source,
    suggestions: ['Take the tokenizer.json of the original model.'],
  })
}
