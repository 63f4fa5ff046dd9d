import type { Score } from './lm-eval.js'

/** Data on the Hub that a task is made of. */
export interface TaskDataset {
  /** The repository. */
  id: string
  config: string | undefined
  split: string | undefined
}

/**
 * The data of the harness's tasks that OpenLLaMA is evaluated on; its files from before 0.4 do not
 * say. Tasks, configurations and splits are those of lm-evaluation-harness 0.3.0 (lm_eval/tasks);
 * its names without an owner (`super_glue`) are given as the repositories they have since moved
 * to, which the task files of 0.4 and later name.
 */
const known: Readonly<Record<string, readonly [id: string, config: string | null, split: string]>> =
  {
    anli_r1: ['facebook/anli', null, 'test_r1'],
    anli_r2: ['facebook/anli', null, 'test_r2'],
    anli_r3: ['facebook/anli', null, 'test_r3'],
    arc_challenge: ['allenai/ai2_arc', 'ARC-Challenge', 'test'],
    arc_easy: ['allenai/ai2_arc', 'ARC-Easy', 'test'],
    boolq: ['aps/super_glue', 'boolq', 'validation'],
    cb: ['aps/super_glue', 'cb', 'validation'],
    gsm8k: ['openai/gsm8k', 'main', 'test'],
    hellaswag: ['Rowan/hellaswag', null, 'validation'],
    lambada_openai: ['EleutherAI/lambada_openai', 'default', 'test'],
    mmlu: ['cais/mmlu', null, 'test'],
    openbookqa: ['allenai/openbookqa', 'main', 'test'],
    piqa: ['ybisk/piqa', null, 'validation'],
    record: ['aps/super_glue', 'record', 'validation'],
    // GLUE's, whatever its neighbours are of: SuperGLUE's is the task `sglue_rte`.
    rte: ['nyu-mll/glue', 'rte', 'validation'],
    sciq: ['allenai/sciq', null, 'test'],
    sglue_rte: ['aps/super_glue', 'rte', 'validation'],
    // Not of 0.3.0: the task of 0.4 is `social_iqa`, forks from before it say `siqa`.
    siqa: ['allenai/social_i_qa', null, 'validation'],
    social_iqa: ['allenai/social_i_qa', null, 'validation'],
    truthfulqa_mc: ['truthfulqa/truthful_qa', 'multiple_choice', 'validation'],
    truthfulqa_mc1: ['truthfulqa/truthful_qa', 'multiple_choice', 'validation'],
    truthfulqa_mc2: ['truthfulqa/truthful_qa', 'multiple_choice', 'validation'],
    wic: ['aps/super_glue', 'wic', 'validation'],
    winogrande: ['allenai/winogrande', 'winogrande_xl', 'validation'],
    wsc: ['aps/super_glue', 'wsc', 'validation'],
  }

/** Where a task's data are on the Hub; undefined for data of one's own. */
export function datasetOfTask({ task, dataset }: Score): TaskDataset | undefined {
  // "json" and its kin are loaders of local files; a repository has an owner.
  if (dataset !== undefined && /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(dataset.path)) {
    return { id: dataset.path, config: dataset.name, split: dataset.split }
  }
  const [id, config, split] = (Object.hasOwn(known, task) ? known[task] : undefined) ?? []
  return id === undefined ? undefined : { id, config: config ?? undefined, split }
}

/**
 * The task that a figure is of on the Hub, as the dataset's own eval.yaml calls it: of GSM8K there
 * is the one task `gsm8k`, GPQA's are called like its configurations (docs/hub/eval-results). Data
 * without an eval.yaml have no leaderboard and no such name; there it is the harness's.
 */
export function benchmarkTask({ id, config }: TaskDataset, task: string): string {
  if (id === 'openai/gsm8k') return 'gsm8k'
  return id === 'Idavidrein/gpqa' && config !== undefined ? config : task
}

const titles: Readonly<Record<string, string>> = {
  arc_challenge: 'ARC (challenge)',
  arc_easy: 'ARC (easy)',
  boolq: 'BoolQ',
  gsm8k: 'GSM8K',
  hellaswag: 'HellaSwag',
  lambada_openai: 'LAMBADA (OpenAI)',
  mmlu: 'MMLU',
  openbookqa: 'OpenBookQA',
  piqa: 'PIQA',
  rte: 'RTE',
  sciq: 'SciQ',
  siqa: 'Social IQa',
  social_iqa: 'Social IQa',
  truthfulqa_mc: 'TruthfulQA',
  truthfulqa_mc1: 'TruthfulQA',
  truthfulqa_mc2: 'TruthfulQA',
  winogrande: 'WinoGrande',
}

/** A task for people; its own name where it has no other. */
export function titleOfTask(task: string): string {
  return (Object.hasOwn(titles, task) ? titles[task] : undefined) ?? task
}
