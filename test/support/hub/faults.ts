/** What a request is for, as far as tests count and spoil. */
export type Kind =
  | 'whoami'
  | 'token'
  | 'create'
  | 'info'
  | 'refs'
  | 'tree'
  | 'paths-info'
  | 'preupload'
  | 'batch'
  | 'verify'
  | 'commit'
  | 'discussion'
  | 'validate-yaml'
  /** HEAD and GET of a file at the Hub itself. */
  | 'head'
  | 'resolve'
  /** GET of a large file, from the other host. */
  | 'download'
  /** PUT of a large file or of a part, and what completes its parts. */
  | 'upload'
  | 'part'
  | 'complete'
  | 'other'

/** What goes wrong with a request. */
type Harm =
  | { status: number; headers?: Record<string, string>; body?: string }
  /** The connection ends after so many bytes of the body, of whichever side sends it. */
  | { cutAfter: number }
  /** What was asked is done, and the connection ends before the answer. */
  | { cutAnswer: true }
  /** The whole file with 200, whatever range was asked for. */
  | { ignoreRange: true }
  /** A range that is shorter by so many bytes than was asked for, and says so. */
  | { shorten: number }
  /** Another range than was asked for: so many bytes later. */
  | { shift: number }
  /** One byte of the body is another one, of whichever side sends it. */
  | { corrupt: true }
  /** The ETag of another version. */
  | { etag: string }
  /** After so many bytes nothing comes, or nothing is taken, any more, and the connection stays. */
  | { stallAfter: number }
  /** The answer begins only after so many milliseconds. */
  | { delay: number }
  /** Elsewhere. */
  | { redirect: string }

export type Fault = Harm & {
  on: Kind
  /** Only of paths that have this in them. */
  path?: string
  /** So many such requests are answered well first. */
  after?: number
  /** How often it happens; once by default. */
  times?: number
}

/** A request as it came and was answered. */
export interface Recorded {
  kind: Kind
  method: string
  /** Without the host. */
  url: string
  /** The value of the Authorization header. */
  authorization: string | undefined
  range: string | undefined
  status: number
  /** Bytes of the bodies. */
  sent: number
  received: number
}

/** What a test has said is to go wrong, and what has come so far. */
export interface Ledger {
  faults: Fault[]
  requests: Recorded[]
}

/** The fault for a request, which counts as having happened. */
export function takeFault({ faults }: Ledger, kind: Kind, url: string): Fault | undefined {
  const path = decodeURIComponent(url)
  for (const fault of faults) {
    if (fault.on !== kind || (fault.path !== undefined && !path.includes(fault.path))) continue
    if ((fault.after ?? 0) > 0) {
      fault.after = (fault.after ?? 0) - 1
      continue
    }
    if ((fault.times ?? 1) <= 0) continue
    fault.times = (fault.times ?? 1) - 1
    return fault
  }
  return undefined
}

/** How many requests of a kind came, and the bytes of their bodies. */
export function countOf(
  { requests }: Ledger,
  ...kinds: Kind[]
): { requests: number; sent: number; received: number } {
  const these = requests.filter(({ kind }) => kinds.includes(kind))
  return {
    requests: these.length,
    sent: these.reduce((sum, { sent }) => sum + sent, 0),
    received: these.reduce((sum, { received }) => sum + received, 0),
  }
}
