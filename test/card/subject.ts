import type { Subject } from '../../src/card/subject.js'

/** A subject of which nothing is known. */
export const bareSubject: Subject = {
  folder: 'model',
  artifacts: [],
  others: [],
  skipped: [],
  title: 'Model',
  release: undefined,
  repo: undefined,
  config: undefined,
  parameters: undefined,
  tokenizer: undefined,
  mergesSpaces: undefined,
  tokenizerIsChecked: false,
  license: undefined,
  source: undefined,
  records: [],
  isQuantized: false,
  warnings: [],
}
