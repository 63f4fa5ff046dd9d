import { inputError } from './errors.js'

/**
 * What is often saved in a checkpoint's place is called by its name.
 * @param head the first bytes of the file
 * @throws input error for an empty file, a Git LFS pointer, a web page
 */
export function refuseStandIns(path: string, head: Uint8Array): void {
  const text = new TextDecoder('latin1').decode(head).trimStart()
  if (head.length === 0) {
    throw inputError('the file is empty', { path, suggestions: ['Download or write it again.'] })
  }
  if (text.startsWith('version https://git-lfs.github.com/spec/')) {
    const size = /^size (\d+)$/m.exec(text)?.[1]
    throw inputError(
      `it is a Git LFS pointer, not the file itself${size ? ` (which has ${size} bytes)` : ''}`,
      { path, suggestions: ['Fetch it with `git lfs pull`, or download it again.'] },
    )
  }
  if (/^<(!doctype html|html|head|\?xml)/i.test(text)) {
    throw inputError('it is a web page saved in the file’s place', {
      path,
      suggestions: [
        'The download was answered with a page; sign in or correct the address, and download it again.',
      ],
    })
  }
}
