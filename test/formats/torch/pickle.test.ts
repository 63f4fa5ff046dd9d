import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AllowList, type PickleValue, unpickle } from '../../../src/formats/torch/pickle.js'
import { endOfPickle, type PickleCursor } from '../../../src/formats/torch/pickle-opcodes.js'
import { pickleStateDict } from '../../../src/formats/torch/pickle-write.js'
import { inputError } from '../../../src/io/errors.js'
import { equalBytes } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'

const where = { format: 'pytorch', path: 'made.bin' }

function cursorOf(text: string): PickleCursor {
  return { bytes: Buffer.from(text, 'latin1'), offset: 0, where }
}

/** Allows one global, which stands for itself, and notes what it was called with. */
function allowing(name: string): AllowList<string> & { calls: PickleValue<string>[][] } {
  const calls: PickleValue<string>[][] = []
  return {
    calls,
    global: (asked) => (asked === name ? name : undefined),
    call(_, args) {
      calls.push(args)
      return `called ${calls.length}`
    },
    persistent: () => 'persistent',
  }
}

function read(text: string, allowed: AllowList<string> = allowing('')): PickleValue<string> {
  return unpickle(cursorOf(text), allowed)
}

const values: [what: string, pickle: string, value: unknown][] = [
  ['protocol 2: None', '\x80\x02N.', null],
  ['booleans', '\x80\x02\x88.', true],
  ['BININT1', 'K\xff.', 255],
  ['BININT2', 'M\x34\x12.', 0x1234],
  ['BININT, negative', 'J\xff\xff\xff\xff.', -1],
  ['LONG1 of no bytes', '\x8a\x00.', 0],
  ['LONG1, negative', '\x8a\x01\xff.', -1],
  ['LONG1 beyond 2^53', '\x8a\x08\x00\x00\x00\x00\x00\x00\x20\x01.', 0x0120000000000000n],
  ['LONG4', '\x8b\x02\x00\x00\x00\x01\x02.', 0x201],
  ['BINFLOAT, which is big-endian', 'G\x3f\xf8\x00\x00\x00\x00\x00\x00.', 1.5],
  ['BINUNICODE', 'X\x02\x00\x00\x00\xc3\xa9.', 'é'],
  ['SHORT_BINUNICODE', '\x8c\x01a.', 'a'],
  ['BINUNICODE8', '\x8d\x01\x00\x00\x00\x00\x00\x00\x00a.', 'a'],
  ['SHORT_BINSTRING', 'U\x01\xe9.', 'é'],
  ['text: INT', 'I12\n.', 12],
  ['text: INT that is a boolean', 'I01\n.', true],
  ['text: LONG', 'L12L\n.', 12],
  ['text: FLOAT', 'F0.5\n.', 0.5],
  ['text: STRING', "S'ab'\n.", 'ab'],
  ['text: UNICODE', 'Vab\n.', 'ab'],
  ['a frame', '\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00K\x01.', 1],
  ['EMPTY_TUPLE', ').', { kind: 'tuple', items: [] }],
  ['TUPLE2', 'K\x01K\x02\x86.', { kind: 'tuple', items: [1, 2] }],
  ['TUPLE', '(K\x01K\x02t.', { kind: 'tuple', items: [1, 2] }],
  ['APPENDS', '](K\x01K\x02e.', { kind: 'list', items: [1, 2] }],
  ['LIST and APPEND', '(K\x01lK\x02a.', { kind: 'list', items: [1, 2] }],
  ['a set', '\x8f(K\x01K\x02\x90.', { kind: 'list', items: [1, 2] }],
  ['SETITEMS', '}(K\x01K\x02u.', { kind: 'dict', entries: [[1, 2]] }],
  ['DICT and SETITEM', '(K\x01K\x02dK\x03K\x04s.', { kind: 'dict', entries: [[1, 2], [3, 4]] }], // biome-ignore format: one line a case
  ['the memo', 'K\x07q\x05K\x08h\x05\x86.', { kind: 'tuple', items: [8, 7] }],
  ['the memo of text', 'K\x07p5\n0g5\n.', 7],
  ['MEMOIZE', 'K\x07\x94K\x08h\x00\x86.', { kind: 'tuple', items: [8, 7] }],
  ['DUP and POP', 'K\x072K\x080\x86.', { kind: 'tuple', items: [7, 7] }],
  ['POP_MARK', 'K\x07(K\x08K\x091.', 7],
]

for (const [what, pickle, value] of values) {
  test(`reads ${what}`, () => assert.equal(read(pickle), value))
}

test('makes a thing of an allowed global, and calls it with plain data', () => {
  const allowed = allowing('a.b')
  assert.is(read('ca\nb\n(K\x01ca\nb\ntR.', allowed), 'called 1')
  assert.equal(allowed.calls, [[1, { kind: 'thing', thing: 'a.b' }]])
})

test('by every opcode that calls', () => {
  for (const pickle of [
    'ca\nb\nK\x01\x85R.',
    'ca\nb\nK\x01\x85\x81.',
    'ca\nb\nK\x01\x85}\x92.',
    '(ca\nb\nK\x01o.',
    '(K\x01ia\nb\n.',
    '\x8c\x01a\x8c\x01b\x93K\x01\x85R.',
  ]) {
    const allowed = allowing('a.b')
    assert.is(read(pickle, allowed), 'called 1', JSON.stringify(pickle))
    assert.equal(allowed.calls, [[1]])
  }
})

test('attributes of a dictionary are passed over', () => {
  assert.equal(read('}}(K\x01K\x02ub.'), { kind: 'dict', entries: [] })
})

/** As Python's own pickle.dumps writes an object whose __reduce__ gives os.system and its like. */
const malicious: [pickle: string, name: string][] = [
  ['cos\nsystem\n(S"echo no"\ntR.', 'os.system'],
  ['cposix\nsystem\np0\n(Vecho no\np1\ntp2\nRp3\n.', 'posix.system'],
  ['\x80\x02cnt\nsystem\nq\x00X\x07\x00\x00\x00echo noq\x01\x85q\x02Rq\x03.', 'nt.system'],
  ['\x80\x02c__builtin__\neval\nX\x03\x00\x00\x001+1\x85R.', '__builtin__.eval'],
  ['\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x8c\x04eval\x93\x8c\x031+1\x85R.', 'builtins.eval'], // biome-ignore format: one line a case
  // Nested: within the arguments of what is allowed, and in a value that is dropped again.
  ['\x80\x02ca\nb\n(cos\nsystem\nX\x01\x00\x00\x00x\x85RtR.', 'os.system'],
  ['\x80\x02}X\x01\x00\x00\x00k(cos\nsystem\nX\x01\x00\x00\x00x\x85R10s.', 'os.system'],
  ["(S'echo no'\nios\nsystem\n.", 'os.system'],
  ['(cos\nsystem\nX\x01\x00\x00\x00xo.', 'os.system'],
  ['\x80\x02csubprocess\nPopen\nX\x01\x00\x00\x00x\x85\x81.', 'subprocess.Popen'],
  ['\x80\x04\x8c\x09functools\x8c\x07partial\x93.', 'functools.partial'],
  // A dotted name is looked up by attributes: one that begins as an allowed one does is another.
  ['\x80\x04\x8c\x01a\x8c\x0cb.__class__x\x93.', 'a.b.__class__x'],
  // Names of JavaScript's own objects.
  ['c__proto__\nconstructor\n.', '__proto__.constructor'],
]

for (const [pickle, name] of malicious) {
  test(`refuses ${name} by its name: ${JSON.stringify(pickle).slice(0, 40)}`, async () => {
    const allowed = allowing('a.b')
    await fails(() => read(pickle, allowed), 'input', 'pytorch: made.bin', name, 'nothing of it')
    assert.is(allowed.calls.length, 0)
  })
}

test('what a global is called cannot write to a terminal', async () => {
  const error = await fails(() => read(`c\x1b[31mos\n${'s'.repeat(900)}\n.`), 'input', '?[31mos.s')
  assert.not.ok(error.message.includes('\x1b'))
  assert.ok(error.message.length < 500)
})

const malformed: [what: string, pickle: string, message: string][] = [
  ['no opcode', 'K\x01\xff.', 'byte 2 of its pickle is 0xff'],
  ['an end before STOP', 'K\x01', 'goes on at byte 2'],
  ['an argument that is cut', 'X\xff\x00\x00\x00abc.', 'goes on at byte 0'],
  ['a length beyond all files', '\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.', 'goes on at byte 0'],
  [
    'an integer of 100 bytes',
    `\x8b\x64\x00\x00\x00${'\x01'.repeat(100)}.`,
    '100 bytes, at most 64',
  ],
  ['a line without end', `V${'a'.repeat(5000)}`, 'more than 4096 bytes'],
  ['a line that is no number', 'Ix\n.', 'spells no value'],
  ['a string without quotes', 'Sx\n.', 'spells no value'],
  ['nothing to give', '.', 'empty stack'],
  ['a pop of nothing', '0.', 'empty stack'],
  ['a pop below a mark', 'K\x01(\x85.', 'empty stack'],
  ['no mark', 'K\x01t.', 'a mark that it never set'],
  ['a memo that is empty', 'h\x00.', 'recalls 0'],
  ['an item of what is no dictionary', ']K\x01K\x02s.', 'no dictionary'],
  ['an append to what is no list', '}K\x01a.', 'no list'],
  ['a key without value', '}(K\x01u.', 'a key without a value'],
  ['a call of data', 'K\x01)R.', 'calls what is no function'],
  ['a call with data', 'ca\nb\nK\x01R.', 'what is no tuple'],
  ['a global that is no string', 'K\x01K\x02\x93.', 'by what is no string'],
  ['attributes of a list', ']}b.', 'sets the attributes'],
  ['an extension', '\x80\x02\x82\x05.', 'uses EXT1 5'],
  ['a buffer outside', '\x97.', 'uses NEXT_BUFFER'],
  ['a persistent id of text', 'Px\n.', 'uses PERSID'],
  ['a later protocol', '\x80\x06N.', 'protocol 6'],
  ['nesting without end', '('.repeat(200), 'nests 100 levels deep'],
]

for (const [what, pickle, message] of malformed) {
  test(`refuses ${what}`, async () => {
    await fails(() => read(pickle, allowing('a.b')), 'input', message)
  })
}

test('a bomb ends at the limit of opcodes', async () => {
  await fails(() => read(`]${'2'.repeat(2_000_001)}.`), 'input', 'more than 2000000 opcodes')
})

test('references to references cost nothing', () => {
  // A list of ten of the list before, forty times: 10^40 elements if anyone walked them.
  const level = `](${'h\x00'.repeat(10)}eq\x00`
  const value = read(`]q\x00${level.repeat(40)}.`)
  assert.type(value, 'object')
})

test('finds the end of a pickle as more of it arrives', () => {
  const whole = 'X\x03\x00\x00\x00a.bVx.y\n\x86.'
  for (let length = 0; length < whole.length; length++) {
    const cursor = cursorOf(whole.slice(0, length))
    assert.is(endOfPickle(cursor), undefined)
    const resumed = { ...cursorOf(`${whole}K`), offset: cursor.offset }
    assert.is(endOfPickle(resumed), whole.length, `after ${length} bytes`)
  }
})

test('any bytes give a value or an input error', async () => {
  let state = 1
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  }
  const start = Buffer.from(
    pickleStateDict([{ name: 'a', key: '0', storageType: 'F', shape: [2] }]),
  )
  const allowed: AllowList<string> = {
    global: (name) => name,
    call: () => ({ kind: 'dict', entries: [] }),
    persistent: () => 'persistent',
  }
  let refused = 0
  for (let round = 0; round < 3000; round++) {
    const bytes = Buffer.from(start)
    for (let edits = 0; edits < 3; edits++) bytes[next() % bytes.length] = next()
    try {
      unpickle({ bytes, offset: 0, where }, allowed)
    } catch (error) {
      assert.is(inputError('').constructor, error instanceof Error && error.constructor)
      refused++
    }
  }
  assert.ok(refused > 500)
})

test('writes what torch itself would, opcode by opcode', () => {
  const pickle = pickleStateDict([
    { name: 'w', key: '0', storageType: 'HalfStorage', shape: [300, 2] },
    { name: 'n', key: '1', storageType: 'HalfStorage', shape: [7] },
    { name: 'big', key: '2', storageType: 'HalfStorage', shape: [65536, 65536] },
  ])
  const text = (value: string) => `X${String.fromCharCode(value.length)}\0\0\0${value}`
  const expected = [
    '\x80\x02}(',
    text('w'),
    'ctorch._utils\n_rebuild_tensor_v2\nq\x00',
    `((${text('storage')}q\x01ctorch\nHalfStorage\nq\x02${text('0')}${text('cpu')}q\x03M\x58\x02tQ`,
    'K\x00(M\x2c\x01K\x02t(K\x02K\x01t\x89ccollections\nOrderedDict\nq\x04)RtR',
    `${text('n')}h\x00((h\x01h\x02${text('1')}h\x03K\x07tQK\x00(K\x07t(K\x01t\x89h\x04)RtR`,
    `${text('big')}h\x00((h\x01h\x02${text('2')}h\x03\x8a\x08\0\0\0\0\x01\0\0\0tQ`,
    'K\x00(J\0\0\x01\0J\0\0\x01\0t(J\0\0\x01\0K\x01t\x89h\x04)RtR',
    'u.',
  ].join('')
  equalBytes(pickle, Buffer.from(expected, 'latin1'), 'the pickle')
})

test.run()
