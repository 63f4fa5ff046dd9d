/**
 * Puts items behind those of a list. `push(...items)` does not where there are many: a hundred
 * thousand arguments overflow the stack.
 */
export function append<T>(list: T[], items: Iterable<T>): void {
  for (const item of items) list.push(item)
}
