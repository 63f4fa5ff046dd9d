import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatTable } from '../../src/cli/table.js'

const test = suite('cli: tables')

test('columns stand below one another as a terminal shows them', () => {
  // Chinese, Korean and emoji take two columns, combining accents none.
  const rows = [
    ['name', 'size'],
    ['模型', '1'],
    ['모델', '22'],
    ['cafe\u0301', '333'],
    ['🦙', '4'],
  ]
  assert.equal(formatTable(rows, [1]).split('\n'), [
    'name  size',
    '模型     1',
    '모델    22',
    'cafe\u0301   333',
    '🦙       4',
  ])
})

test.run()
