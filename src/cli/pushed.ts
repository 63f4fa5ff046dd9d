import type { Pushed } from '../hub/push/push.js'
import { formatBytes } from '../io/units.js'
import { formatTable } from './table.js'

/** What was sent, or in a dry run would be, for people. */
export function describePushed(pushed: Pushed): string {
  const { files, remote_only: remoteOnly, dry_run: dryRun } = pushed
  const rows = [
    ...files.map(({ path, bytes, state }) => [`  ${state}`, formatBytes(bytes), path]),
    ...remoteOnly.map(({ path, bytes }) => ['  kept', formatBytes(bytes), path]),
  ]
  return [
    dryRun ? `${where(pushed)}, if it were pushed` : where(pushed),
    dryRun ? planned(pushed) : done(pushed),
    formatTable(rows, [1]),
  ].join('\n')
}

function where({ url, revision, pull_request: pullRequest }: Pushed): string {
  if (pullRequest !== null) return `${url}/discussions/${pullRequest}`
  return revision === 'main' ? url : `${url}/tree/${encodeURIComponent(revision)}`
}

function planned({ creates, files, remote_only, bytes_to_send }: Pushed): string {
  const made = creates === 'nothing' ? '' : `a new ${creates}; `
  return `${made}${counts(files)}, ${remote_only.length} only there; ${formatBytes(bytes_to_send)} to be sent`
}

function done({ commit, commits, files, bytes_to_send, bytes_sent }: Pushed): string {
  if (commits === 0) return `nothing to send: all ${files.length} files are there, at ${commit}`
  const before = bytes_to_send - bytes_sent
  const earlier = before > 0 ? `, ${formatBytes(before)} had arrived before` : ''
  const number = commits === 1 ? 'one commit' : `${commits} commits`
  return `${counts(files)}; ${formatBytes(bytes_sent)} sent in ${number}${earlier}; at ${commit}, every hash compared`
}

function counts(files: Pushed['files']): string {
  const count = (wanted: string) => files.filter(({ state }) => state === wanted).length
  return `${count('new')} new, ${count('changed')} changed, ${count('same')} the same`
}
