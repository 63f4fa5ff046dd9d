import { createHash } from 'node:crypto'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { replaceFile } from '../../io/atomic.js'
import { isJsonObject, type JsonObject, parseJsonIfAny } from '../../io/json.js'
import type { HubSettings } from '../settings.js'

/**
 * An upload in parts that has begun: where its parts go, and which have arrived. The
 * storage puts together what one and the same upload got; another upload of the same
 * file, which is what the Hub gives when it is asked again, knows nothing of them. So
 * the addresses are kept until the file is whole, or they are no longer valid.
 */
export interface BegunUpload {
  size: number
  /** What completes it. */
  href: string
  /** `chunk_size`, and the address of each part by its number. */
  header: Readonly<Record<string, string>>
  /** What the storage answered for parts that have arrived, by the same numbers. */
  etags: Record<string, string>
}

/** Begun uploads of one repository, beside the cache of the Hub's client. */
export interface UploadJournal {
  load(sha256: string, size: number): Promise<BegunUpload | undefined>
  /** Notes down what has arrived; a journal that cannot be written is no reason to stop. */
  save(sha256: string, upload: BegunUpload): Promise<void>
  forget(sha256: string): Promise<void>
}

export function openUploadJournal({ cache, endpoint }: HubSettings, repo: string): UploadJournal {
  const folder = join(dirname(cache), 'openllama', 'uploads')
  const writing = new Map<string, Promise<void>>()

  const pathOf = (sha256: string) => {
    const key = createHash('sha256').update(`${endpoint} ${repo} ${sha256}`).digest('hex')
    return join(folder, `${key.slice(0, 32)}.json`)
  }

  /** One after the other: parts arrive at the same time. */
  const inTurn = (path: string, work: () => Promise<void>): Promise<void> => {
    const turn = (writing.get(path) ?? Promise.resolve()).then(work).catch(() => {})
    writing.set(path, turn)
    return turn
  }

  return {
    async load(sha256, size) {
      const text = await readFile(pathOf(sha256), 'utf8').catch(() => '')
      const upload = text === '' ? undefined : parseUpload(text)
      return upload?.size === size && isValid(upload) ? upload : undefined
    },
    save(sha256, upload) {
      const path = pathOf(sha256)
      const text = new TextEncoder().encode(JSON.stringify(upload))
      return inTurn(path, async () => {
        await mkdir(folder, { recursive: true })
        // Its addresses are signed: who has them can send parts.
        await replaceFile(path, text, 0o600)
      })
    },
    forget(sha256) {
      const path = pathOf(sha256)
      return inTurn(path, () => rm(path, { force: true }))
    },
  }
}

function parseUpload(text: string): BegunUpload | undefined {
  const value = parseJsonIfAny(text)
  if (!isJsonObject(value)) return undefined
  const { size, href, header, etags } = value
  if (typeof size !== 'number' || typeof href !== 'string') return undefined
  if (!isJsonObject(header) || !isJsonObject(etags)) return undefined
  return { size, href, header: textsOf(header), etags: textsOf(etags) }
}

export function textsOf(object: JsonObject): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [key, value] of Object.entries(object)) {
    texts[key] = typeof value === 'string' ? value : JSON.stringify(value)
  }
  return texts
}

/** Signed addresses say until when they are valid, as S3 writes it. */
function isValid({ header }: BegunUpload): boolean {
  const first = Object.entries(header).find(([key]) => /^\d+$/.test(key))?.[1] ?? ''
  if (!URL.canParse(first)) return false
  const query = new URL(first).searchParams
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(query.get('X-Amz-Date') ?? '') ?? []
  if (year === undefined) return true
  const from = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  return Date.now() < from + 1000 * Number(query.get('X-Amz-Expires') ?? 0)
}
