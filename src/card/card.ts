import { basename, dirname, join, resolve } from 'node:path'
import { inputError, usageError } from '../io/errors.js'
import { type OutputFile, writeOutputs } from '../io/output.js'
import { readSmallFile } from '../io/source.js'
import { statThere } from '../io/there.js'
import { survey } from './artifacts.js'
import { evaluationChart } from './charts/evaluation.js'
import { lossChart } from './charts/loss.js'
import { editFrontMatter, readFrontMatter, splitCard } from './front-matter.js'
import { type LossCurve, readLoss } from './loss.js'
import { plain } from './markdown.js'
import { frontMatterChanges, modelIndexName } from './metadata.js'
import { evalResultsFiles, evalResultsHead } from './results/data.js'
import { evaluationColumn } from './results/evaluations.js'
import { readEvalRun } from './results/lm-eval.js'
import { type Comparison, compareRuns } from './results/results.js'
import { aboutSection, citationSection } from './sections/about.js'
import { checkSection } from './sections/check.js'
import { evaluationChartName, evaluationSection } from './sections/evaluation.js'
import { filesSection } from './sections/files.js'
import { limitsSection } from './sections/limits.js'
import { provenanceSection } from './sections/provenance.js'
import { resultsSection } from './sections/results.js'
import {
  newlineOf,
  putSections,
  type SectionName,
  type Sections,
  sectionNames,
} from './sections/sections.js'
import { useSection } from './sections/use.js'
import { type Subject, subjectOf } from './subject.js'
import { frontMatterFaults } from './validate.js'

export interface CardOptions {
  /** The OpenLLaMA release (--model). */
  model?: string
  /** The repository that the card is for, `owner/name` (--repo). */
  repo?: string
  /** The license, as the Hub calls it (--license). */
  license?: string
  /** Files with results of lm-evaluation-harness (--eval). */
  evals?: readonly string[]
  /** A training log (--loss). */
  loss?: string
  /** Where the card goes; README.md in the directory by default (--out). */
  out?: string
}

export interface CardResult {
  out: string
  files: { path: string; bytes: number }[]
  /** The OpenLLaMA release, where it is one. */
  model: string | null
  formats: string[]
  sections: SectionName[]
  warnings: string[]
}

const lossChartName = 'openllama-loss.svg'

/** Cards with pictures in them have a few hundred kilobytes. */
const maxCard = 16 * 1024 * 1024

/**
 * Writes the card of a directory of weights, its charts and its results. Of a card
 * that is there, only our sections and keys change.
 */
export async function writeCard(folder: string, options: CardOptions = {}): Promise<CardResult> {
  checkRepo(options.repo)
  const subject = await subjectOf(await survey(folder), options)
  const out = options.out ?? join(folder, 'README.md')
  const runs = []
  for (const path of options.evals ?? []) runs.push(await readEvalRun(path))
  const results = runs.length === 0 ? undefined : compareRuns(runs, namesOf(subject, options))
  const curve = options.loss === undefined ? undefined : await readLoss(options.loss)
  const charts: { name: string; text: string }[] = []
  const column = subject.release ? evaluationColumn(subject.release.id) : -1
  if (column !== -1) charts.push({ name: evaluationChartName, text: evaluationChart(column) })
  if (curve !== undefined) {
    charts.push({
      name: lossChartName,
      text: lossChart(`${modelIndexName(subject)}: training loss`, curve),
    })
  }
  const sections: Sections = {
    about: aboutSection(subject),
    files: filesSection(subject),
    use: useSection(subject),
    check: checkSection(subject),
    evaluation: evaluationSection(subject),
    limits: limitsSection(subject),
    provenance: provenanceSection(subject),
    citation: citationSection(subject),
    // Without new results or a new log, those that the card has stay.
    ...(results === undefined ? {} : { results: resultsSection(results, subject) }),
    ...(curve === undefined ? {} : { loss: lossSection(curve) }),
  }
  const card = putTogether(await cardThere(out), sections, subject, results, out)
  const place = dirname(out)
  const evalFiles = results === undefined ? [] : evalResultsFiles(results)
  const warnings = [...subject.warnings, ...(results?.warnings ?? []), ...card.warnings]
  const outputs: OutputFile[] = [
    { path: out, bytes: encode(card.text) },
    ...charts.map(({ name, text }) => ({ path: join(place, name), bytes: encode(text) })),
  ]
  for (const { name, text } of evalFiles) {
    const path = join(place, '.eval_results', name)
    if (await isSomebodys(path)) {
      warnings.push(`${path} was not written: somebody else's is there`)
    } else outputs.push({ path, bytes: encode(text) })
  }
  await writeOutputs(outputs, true)
  return {
    out,
    files: outputs.map(({ path, bytes }) => ({ path, bytes: bytes.length })),
    model: subject.release?.id ?? null,
    formats: [...new Set(subject.artifacts.map(({ format }) => format))],
    sections: card.sections,
    warnings,
  }
}

function putTogether(
  there: string | undefined,
  sections: Sections,
  subject: Subject,
  results: Comparison | undefined,
  out: string,
): { text: string; sections: SectionName[]; warnings: string[] } {
  const text = there ?? `---\n---\n\n# ${plain(subject.title)}\n`
  const newline = newlineOf(text)
  const { before, yaml, after, body } = splitCard(text, newline)
  const keys = readFrontMatter(yaml, out)
  const changes = frontMatterChanges(subject, results, keys)
  const edited = editFrontMatter(yaml, changes, newline, out)
  const faults = frontMatterFaults(readFrontMatter(edited, out))
  const written = putSections(before + edited + after + body, sections, out)
  const names = sectionNames.filter((name) => (sections[name] ?? '') !== '')
  return { text: written, sections: names, warnings: faults }
}

function lossSection({ unit, points }: LossCurve): string {
  return `## Training loss\n\n![Training loss over the ${plain(unit)}, ${points.length} values](${lossChartName})`
}

/** What the card's own model may be called in results. */
function namesOf({ release, repo, folder }: Subject, { model }: CardOptions): string[] {
  return [model, repo, release?.id, basename(resolve(folder))].filter(
    (name): name is string => name !== undefined,
  )
}

function checkRepo(repo: string | undefined): void {
  if (repo === undefined || /^[\w][\w.-]{0,95}\/[\w][\w.-]{0,95}$/.test(repo)) return
  throw usageError(`\`repo\` is "${repo}", which is no name of a repository`, {
    suggestions: ['Give owner and name: openlm-research/open_llama_3b_v2.'],
  })
}

/** The text of the card that is there; undefined where none is. */
async function cardThere(path: string): Promise<string | undefined> {
  const there = await statThere(path)
  if (there === undefined || !there.isFile()) return undefined
  const bytes = await readSmallFile(path, maxCard)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw inputError('it is no text in UTF-8', {
      path,
      suggestions: ['Save it in UTF-8: its own text would be lost otherwise.'],
      cause,
    })
  }
}

/** Whether a file of results is there that was not written here. */
async function isSomebodys(path: string): Promise<boolean> {
  const there = await statThere(path)
  if (!there?.isFile()) return false
  const text = new TextDecoder().decode(await readSmallFile(path, maxCard))
  return !text.startsWith(evalResultsHead)
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
