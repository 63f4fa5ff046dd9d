import { open } from 'node:fs/promises'

/** Brings the names in a directory to disk: what was renamed or created there stays so. */
export async function syncDirectory(path: string): Promise<void> {
  // Windows cannot open directories; its renames are journalled by the file system.
  if (process.platform === 'win32') return
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
