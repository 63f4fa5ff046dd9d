import { inputError } from '../../io/errors.js'
import { type Literal, type Opcode, type PickleCursor, readOpcode } from './pickle-opcodes.js'

/**
 * A value that a pickle spells. `Thing` is what the globals that are allowed
 * stand for: plain data of the caller's. Sets are read as lists.
 */
export type PickleValue<Thing> =
  | Literal
  | { kind: 'tuple'; items: PickleValue<Thing>[] }
  | { kind: 'list'; items: PickleValue<Thing>[] }
  | PickleDict<Thing>
  | { kind: 'thing'; thing: Thing }

export interface PickleDict<Thing> {
  kind: 'dict'
  entries: [key: PickleValue<Thing>, value: PickleValue<Thing>][]
}

/**
 * What the globals of a pickle may be. A pickle is a program that names Python
 * functions and has them called; here, a name that is not on this list ends the
 * reading before anything that follows is looked at, and a call of one that is
 * makes plain data. There is nothing that could be run.
 */
export interface AllowList<Thing> {
  /** What a global stands for, or undefined where it is not allowed. */
  global(name: string): Thing | undefined
  /** What to say of a global that is not allowed, where more can be told from its name. */
  refused?(name: string): { what: string; suggestions: string[] } | undefined
  /** @throws input error where `thing` cannot be called so */
  call(thing: Thing, args: PickleValue<Thing>[]): PickleValue<Thing>
  /** @throws input error where the pickle may not refer to what lies outside of it */
  persistent(id: PickleValue<Thing>): Thing
}

/** Some 30 opcodes spell a tensor: this is enough for 60,000, and a bomb costs little memory. */
const maxOpcodes = 2_000_000

/** Marks open at a time: a state dict needs four. */
const maxDepth = 100

const maxProtocol = 5

interface Machine<Thing> {
  stack: PickleValue<Thing>[]
  /** Heights of the stack at which marks were set. */
  marks: number[]
  memo: Map<number, PickleValue<Thing>>
  allowed: AllowList<Thing>
  cursor: PickleCursor
}

/**
 * Reads the pickle at the cursor and moves past it.
 * @throws input error that names a global that is not allowed, or what is malformed
 */
export function unpickle<Thing>(
  cursor: PickleCursor,
  allowed: AllowList<Thing>,
): PickleValue<Thing> {
  const machine: Machine<Thing> = { stack: [], marks: [], memo: new Map(), allowed, cursor }
  for (let count = 0; count < maxOpcodes; count++) {
    const opcode = readOpcode(cursor)
    if (opcode === undefined) {
      throw inputError(
        `its pickle goes on at byte ${cursor.offset}, where its ${cursor.bytes.length} bytes end`,
        { ...cursor.where, suggestions: ['It is truncated; download it again.'] },
      )
    }
    if (opcode.name === 'STOP') return pop(machine)
    step(machine, opcode)
  }
  throw inputError(`its pickle has more than ${maxOpcodes} opcodes`, cursor.where)
}

function step<Thing>(machine: Machine<Thing>, { name, argument }: Opcode): void {
  const { stack, marks, memo } = machine
  switch (name) {
    case 'PROTO':
      if (Number(argument) > maxProtocol) throw malformed(machine, `is of protocol ${argument}`)
      return
    case 'FRAME':
      return
    case 'NONE':
    case 'INT':
    case 'BININT':
    case 'BININT1':
    case 'BININT2':
    case 'LONG':
    case 'LONG1':
    case 'LONG4':
    case 'FLOAT':
    case 'BINFLOAT':
    case 'STRING':
    case 'BINSTRING':
    case 'SHORT_BINSTRING':
    case 'UNICODE':
    case 'BINUNICODE':
    case 'SHORT_BINUNICODE':
    case 'BINUNICODE8':
    case 'BINBYTES':
    case 'SHORT_BINBYTES':
    case 'BINBYTES8':
    case 'BYTEARRAY8':
      stack.push(argument)
      return
    case 'NEWTRUE':
    case 'NEWFALSE':
      stack.push(name === 'NEWTRUE')
      return
    case 'MARK':
      if (marks.length === maxDepth) throw malformed(machine, `nests ${maxDepth} levels deep`)
      marks.push(stack.length)
      return
    case 'POP':
      if (marks.at(-1) === stack.length) marks.pop()
      else pop(machine)
      return
    case 'POP_MARK':
      popMark(machine)
      return
    case 'DUP':
      stack.push(top(machine))
      return
    case 'EMPTY_TUPLE':
      stack.push({ kind: 'tuple', items: [] })
      return
    case 'TUPLE1':
    case 'TUPLE2':
    case 'TUPLE3':
      stack.push({ kind: 'tuple', items: popMany(machine, Number(name.slice(-1))) })
      return
    case 'TUPLE':
      stack.push({ kind: 'tuple', items: popMark(machine) })
      return
    case 'EMPTY_LIST':
    case 'EMPTY_SET':
      stack.push({ kind: 'list', items: [] })
      return
    case 'LIST':
    case 'FROZENSET':
      stack.push({ kind: 'list', items: popMark(machine) })
      return
    case 'APPEND':
      append(machine, popMany(machine, 1))
      return
    case 'APPENDS':
    case 'ADDITEMS':
      append(machine, popMark(machine))
      return
    case 'EMPTY_DICT':
      stack.push({ kind: 'dict', entries: [] })
      return
    case 'DICT': {
      const items = popMark(machine)
      stack.push({ kind: 'dict', entries: [] })
      setItems(machine, items)
      return
    }
    case 'SETITEM':
      setItems(machine, popMany(machine, 2))
      return
    case 'SETITEMS':
      setItems(machine, popMark(machine))
      return
    case 'PUT':
    case 'BINPUT':
    case 'LONG_BINPUT':
      memo.set(Number(argument), top(machine))
      return
    case 'MEMOIZE':
      memo.set(memo.size, top(machine))
      return
    case 'GET':
    case 'BINGET':
    case 'LONG_BINGET': {
      const value = memo.get(Number(argument))
      if (value === undefined) throw malformed(machine, `recalls ${argument}, which it never noted`)
      stack.push(value)
      return
    }
    case 'GLOBAL':
      stack.push(find(machine, String(argument)))
      return
    case 'STACK_GLOBAL': {
      const [module, global] = popMany(machine, 2)
      if (typeof module !== 'string' || typeof global !== 'string') {
        throw malformed(machine, 'names a global by what is no string')
      }
      stack.push(find(machine, `${module}.${global}`))
      return
    }
    case 'REDUCE':
    case 'NEWOBJ': {
      const [callable, args] = popMany(machine, 2)
      stack.push(call(machine, callable, args))
      return
    }
    case 'NEWOBJ_EX': {
      const [callable, args, named] = popMany(machine, 3)
      if (!isKind(named, 'dict') || named.entries.length > 0) {
        throw malformed(machine, 'calls something with arguments by name')
      }
      stack.push(call(machine, callable, args))
      return
    }
    case 'OBJ': {
      const [callable, ...items] = popMark(machine)
      stack.push(call(machine, callable, { kind: 'tuple', items }))
      return
    }
    case 'INST': {
      const items = popMark(machine)
      stack.push(call(machine, find(machine, String(argument)), { kind: 'tuple', items }))
      return
    }
    case 'BUILD':
      pop(machine)
      // An OrderedDict's attributes: a state dict's `_metadata`, which holds versions of modules.
      if (!isKind(top(machine), 'dict'))
        throw malformed(machine, 'sets the attributes of an object')
      return
    case 'BINPERSID':
      stack.push({ kind: 'thing', thing: machine.allowed.persistent(pop(machine)) })
      return
    default:
      // EXT1 and its kin name globals by numbers of a registry; PERSID and the buffers of
      // protocol 5 refer to what torch never has.
      throw malformed(machine, `uses ${name}${argument === null ? '' : ` ${argument}`}`)
  }
}

function find<Thing>({ allowed, cursor }: Machine<Thing>, name: string): PickleValue<Thing> {
  const thing = allowed.global(name)
  if (thing !== undefined) return { kind: 'thing', thing }
  const told = allowed.refused?.(name)
  if (told) throw inputError(told.what, { ...cursor.where, suggestions: told.suggestions })
  throw inputError(
    `its pickle names ${asciiName(name)}, which no checkpoint of weights needs: it is refused, and nothing of it was run`,
    {
      ...cursor.where,
      suggestions: [
        'If you trust where it comes from, load it in Python and save its state dict alone, best as safetensors.',
      ],
    },
  )
}

function call<Thing>(
  machine: Machine<Thing>,
  callable: PickleValue<Thing> | undefined,
  args: PickleValue<Thing> | undefined,
): PickleValue<Thing> {
  if (!isKind(callable, 'thing')) throw malformed(machine, 'calls what is no function')
  if (!isKind(args, 'tuple')) throw malformed(machine, 'calls a function with what is no tuple')
  return machine.allowed.call(callable.thing, args.items)
}

function append<Thing>(machine: Machine<Thing>, items: PickleValue<Thing>[]): void {
  const list = top(machine)
  if (!isKind(list, 'list')) throw malformed(machine, 'appends to what is no list')
  for (const item of items) list.items.push(item)
}

function setItems<Thing>(machine: Machine<Thing>, items: PickleValue<Thing>[]): void {
  const dict = top(machine)
  if (!isKind(dict, 'dict')) throw malformed(machine, 'sets an item of what is no dictionary')
  if (items.length % 2 !== 0) throw malformed(machine, 'has a key without a value')
  for (let i = 0; i < items.length; i += 2) {
    dict.entries.push([items[i] ?? null, items[i + 1] ?? null])
  }
}

function top<Thing>(machine: Machine<Thing>): PickleValue<Thing> {
  const [value] = popMany(machine, 1)
  if (value === undefined) throw malformed(machine, 'takes from an empty stack')
  machine.stack.push(value)
  return value
}

function pop<Thing>(machine: Machine<Thing>): PickleValue<Thing> {
  return popMany(machine, 1)[0] ?? null
}

/** The last values, which must all lie above the last mark. */
function popMany<Thing>(machine: Machine<Thing>, count: number): PickleValue<Thing>[] {
  const { stack, marks } = machine
  if (stack.length - count < (marks.at(-1) ?? 0)) {
    throw malformed(machine, 'takes from an empty stack')
  }
  return stack.splice(stack.length - count, count)
}

function popMark<Thing>(machine: Machine<Thing>): PickleValue<Thing>[] {
  const mark = machine.marks.pop()
  if (mark === undefined) throw malformed(machine, 'goes back to a mark that it never set')
  return machine.stack.splice(mark)
}

/** Whether a value is of a compound kind. */
export function isKind<Thing, Kind extends 'tuple' | 'list' | 'dict' | 'thing'>(
  value: PickleValue<Thing> | undefined,
  kind: Kind,
): value is Extract<PickleValue<Thing>, { kind: Kind }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind
}

/** A name from a file, fit for a terminal. */
export function asciiName(name: string): string {
  const shown = name.replace(/[^\x20-\x7e]/g, '?')
  return shown.length > 200 ? `${shown.slice(0, 200)}…` : shown
}

function malformed<Thing>({ cursor }: Machine<Thing>, what: string): Error {
  return inputError(`its pickle ${what} (before byte ${cursor.offset})`, cursor.where)
}
