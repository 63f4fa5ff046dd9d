/**
 * The evaluation that the OpenLLaMA authors published with their releases: made with
 * lm-evaluation-harness and the slow tokenizer. CB and WSC are left out, as they
 * left them out: their scores are suspiciously high, the training set may have them
 * in it.
 */
export const evaluatedModels = [
  { id: 'gpt-j-6b', title: 'GPT-J 6B' },
  { id: 'llama-7b', title: 'LLaMA 7B' },
  { id: 'llama-13b', title: 'LLaMA 13B' },
  { id: 'open_llama_3b_v2', title: 'OpenLLaMA 3B v2' },
  { id: 'open_llama_7b_v2', title: 'OpenLLaMA 7B v2' },
  { id: 'open_llama_3b', title: 'OpenLLaMA 3B' },
  { id: 'open_llama_7b', title: 'OpenLLaMA 7B' },
  { id: 'open_llama_13b', title: 'OpenLLaMA 13B' },
] as const

/** By task and metric, in the order of `evaluatedModels`. */
export const evaluations: readonly (readonly [task: string, ...values: number[]])[] = [
  ['anli_r1/acc', 0.32, 0.35, 0.35, 0.33, 0.34, 0.33, 0.33, 0.33],
  ['anli_r2/acc', 0.34, 0.34, 0.36, 0.36, 0.35, 0.32, 0.36, 0.33],
  ['anli_r3/acc', 0.35, 0.37, 0.39, 0.38, 0.39, 0.35, 0.38, 0.4],
  ['arc_challenge/acc', 0.34, 0.39, 0.44, 0.34, 0.39, 0.34, 0.37, 0.41],
  ['arc_challenge/acc_norm', 0.37, 0.41, 0.44, 0.36, 0.41, 0.37, 0.38, 0.44],
  ['arc_easy/acc', 0.67, 0.68, 0.75, 0.68, 0.73, 0.69, 0.72, 0.75],
  ['arc_easy/acc_norm', 0.62, 0.52, 0.59, 0.63, 0.7, 0.65, 0.68, 0.7],
  ['boolq/acc', 0.66, 0.75, 0.71, 0.66, 0.72, 0.68, 0.71, 0.75],
  ['hellaswag/acc', 0.5, 0.56, 0.59, 0.52, 0.56, 0.49, 0.53, 0.56],
  ['hellaswag/acc_norm', 0.66, 0.73, 0.76, 0.7, 0.75, 0.67, 0.72, 0.76],
  ['openbookqa/acc', 0.29, 0.29, 0.31, 0.26, 0.3, 0.27, 0.3, 0.31],
  ['openbookqa/acc_norm', 0.38, 0.41, 0.42, 0.38, 0.41, 0.4, 0.4, 0.43],
  ['piqa/acc', 0.75, 0.78, 0.79, 0.77, 0.79, 0.75, 0.76, 0.77],
  ['piqa/acc_norm', 0.76, 0.78, 0.79, 0.78, 0.8, 0.76, 0.77, 0.79],
  ['record/em', 0.88, 0.91, 0.92, 0.87, 0.89, 0.88, 0.89, 0.91],
  ['record/f1', 0.89, 0.91, 0.92, 0.88, 0.89, 0.89, 0.9, 0.91],
  ['rte/acc', 0.54, 0.56, 0.69, 0.55, 0.57, 0.58, 0.6, 0.64],
  ['truthfulqa_mc/mc1', 0.2, 0.21, 0.25, 0.22, 0.23, 0.22, 0.23, 0.25],
  ['truthfulqa_mc/mc2', 0.36, 0.34, 0.4, 0.35, 0.35, 0.35, 0.35, 0.38],
  ['wic/acc', 0.5, 0.5, 0.5, 0.5, 0.5, 0.48, 0.51, 0.47],
  ['winogrande/acc', 0.64, 0.68, 0.7, 0.63, 0.66, 0.62, 0.67, 0.7],
  ['average', 0.52, 0.55, 0.57, 0.53, 0.56, 0.53, 0.55, 0.57],
]

/** The row that is the mean of the others. */
export const averageRow = 'average'

/** The column of a release; -1 for one that was not evaluated. */
export function evaluationColumn(id: string): number {
  return evaluatedModels.findIndex((model) => model.id === id)
}
