/** What must not be published, and where it is: never the thing itself. */
export interface Secret {
  what: string
  line: number
}

/** Files that are there to hold secrets, whatever is in them. */
const secretFiles: readonly [RegExp, string][] = [
  [/^\.git$/, 'a git repository, with its remotes and their passwords'],
  [/^\.git-credentials$/, 'passwords of git'],
  [/^\.env(\..*)?$|^\.envrc$/, 'an environment file'],
  [/^[._]netrc$/, 'passwords of netrc'],
  [/^\.(npmrc|pypirc|pgpass|htpasswd|dockercfg)$/, 'a configuration with tokens'],
  [/^\.(ssh|aws|azure|gnupg|kube|docker)$/, 'a folder of keys'],
  [/^id_(rsa|dsa|ecdsa|ed25519)$/, 'a private key'],
  [/\.(pem|p12|pfx|jks|keystore|ppk)$/i, 'a key store'],
  [/^stored_tokens$/, 'tokens of the Hub’s client'],
]

/** Templates of environment files say which variables there are, and have none. */
const template = /\.(example|sample|template|dist)$/

/** What a path is, where no such file may be published. */
export function secretFile(path: string): string | undefined {
  for (const step of path.split('/')) {
    if (template.test(step)) continue
    const found = secretFiles.find(([pattern]) => pattern.test(step))
    if (found !== undefined) return found[1]
  }
  return undefined
}

/** Shapes that the services themselves give to their secrets, so that code can find them. */
const shapes: readonly [RegExp, string][] = [
  [/\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b/g, 'a token of the Hugging Face Hub'],
  [/\bhf_(?:jwt|oauth)_[\w.-]{20,}/g, 'a token of the Hugging Face Hub'],
  [/\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g, 'an access key of AWS'],
  [
    /aws_?(?:secret_?access_?key|session_?token)["']?\s*[:=]\s*["']?[A-Za-z0-9/+=]{40,}/gi,
    'a secret key of AWS',
  ],
  [/-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----/g, 'a private key'],
  [/\bgh[opsur]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{50,}/g, 'a token of GitHub'],
  [/\bglpat-[\w-]{20,}/g, 'a token of GitLab'],
  [/\bsk-(?:ant|proj|svcacct)-[\w-]{30,}/g, 'an API key'],
  [/\bAIza[\w-]{35}\b/g, 'an API key of Google'],
  [/\bxox[abeprs]-[\w-]{20,}/g, 'a token of Slack'],
  [/\bnpm_[A-Za-z0-9]{36}\b/g, 'a token of npm'],
  [/\bpypi-AgE[\w-]{50,}/g, 'a token of PyPI'],
  [/\bhttps?:\/\/[^\s/:@"'<>]+:[^\s/:@"'<>]{6,}@[^\s"'<>]+/g, 'an address with a password'],
]

/**
 * Looks through a text for secrets.
 * @param own values that must be in no file, such as the token that this runs with
 */
export function findSecrets(text: string, own: readonly string[] = []): Secret[] {
  const found: { what: string; at: number }[] = []
  for (const [pattern, what] of shapes) {
    for (const match of text.matchAll(pattern)) {
      if (!isPlaceholder(match[0])) found.push({ what, at: match.index })
    }
  }
  for (const value of own) {
    const at = value === '' ? -1 : text.indexOf(value)
    if (at !== -1) found.push({ what: 'the token that you are signed in with', at })
  }
  return found
    .sort((a, b) => a.at - b.at)
    .map(({ what, at }) => ({ what, line: text.slice(0, at).split('\n').length }))
}

/** Documentation shows hf_xxxxxxxx and AKIAIOSFODNN7EXAMPLE. */
function isPlaceholder(text: string): boolean {
  if (/example|placeholder|your[_-]?|<|\$\{/i.test(text)) return true
  const letters = text.replace(/^.*?_|^[A-Z]{4}/, '')
  return !text.startsWith('-----') && new Set(letters).size < 6
}
