import { constants } from 'node:fs'

/** Opens no link. Windows has no such flag, and hardly links. */
export const noFollow = constants.O_NOFOLLOW ?? 0
