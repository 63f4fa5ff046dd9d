/** What must not be published, and where it is: never the thing itself. */
export interface Secret {
  what: string
  /** Where it begins, in characters. */
  at: number
}

/** Files that are there to hold secrets, whatever is in them and however they are capitalised. */
const secretFiles: readonly [RegExp, string][] = [
  [/^\.git$/, 'a git repository, with its remotes and their passwords'],
  [/^\.git-credentials$/, 'passwords of git'],
  [/^\.env(\..*)?$|^\.envrc$|\.env$/, 'an environment file'],
  [/^[._]netrc$/, 'passwords of netrc'],
  [
    /^\.(npmrc|pypirc|pgpass|htpasswd|dockercfg|boto|s3cfg|my\.cnf)$/,
    'a configuration with tokens',
  ],
  [/^\.(ssh|aws|azure|gnupg|kube|docker|kaggle|gcloud)$/, 'a folder of keys'],
  [/^id_(rsa|dsa|ecdsa|ed25519)$/, 'a private key'],
  [/\.(pem|p12|pfx|jks|keystore|ppk|key|kdbx|ovpn)$/, 'a key store'],
  [/^(stored_tokens|\.vault-token)$/, 'tokens of a client'],
  [/^kaggle\.json$/, 'the key of Kaggle’s client'],
  [/^(credentials?|client_secrets?.*|service[-_]account.*)\.json$|^credentials$/, 'credentials'],
  [/^secrets?\.(json|ya?ml|toml|txt|ini)$/, 'a file of secrets'],
]

/** Templates of environment files say which variables there are, and have none. */
const template = /\.(example|sample|template|dist)$/

/** What a path is, where no such file may be published. */
export function secretFile(path: string): string | undefined {
  for (const step of path.toLowerCase().split('/')) {
    if (template.test(step)) continue
    const found = secretFiles.find(([pattern]) => pattern.test(step))
    if (found !== undefined) return found[1]
  }
  return undefined
}

/** A kind of secret. */
interface Shape {
  /** What each of them has in it: looked for first, since most texts have none of it. */
  anchors: readonly string[]
  /** Each begins where no other can: a look at a text takes time in proportion to its length. */
  pattern: RegExp
  what: string
  /** The part that is the secret; all of it by default. */
  group?: number
}

const shape = (anchors: string, pattern: RegExp, what: string, group?: number): Shape => ({
  anchors: anchors.split(' '),
  pattern,
  what,
  ...(group === undefined ? {} : { group }),
})

/**
 * The shapes that the services themselves give to their secrets, so that code can find them; those
 * without one (40 hexadecimal digits of Weights & Biases, AWS's secret keys) by what stands before.
 * Rule sets of others were tried in their place: secretlint's finds neither the Hub's tokens nor
 * Google's, PyPI's, Stripe's or private keys, and takes minutes for 30,000 hits.
 */
const shapes: readonly Shape[] = [
  shape('hf_ api_org_', /\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b/g, 'a token of the Hugging Face Hub'),
  shape('hf_', /\bhf_(?:jwt|oauth)_[\w.-]{20,}/g, 'a token of the Hugging Face Hub'),
  shape('AKIA ASIA', /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g, 'an access key of AWS'),
  shape(
    'ecret ECRET ession ESSION',
    /(?:secret_?access_?key|aws_?session_?token|sessiontoken|aws_secret)["']?\s{0,20}[:=]\s{0,20}["']?([A-Za-z0-9/+=]{40,})/gi,
    'a secret key of AWS',
    1,
  ),
  shape('PRIVATE', /-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----/g, 'a private key'),
  shape('AGE-SECRET', /\bAGE-SECRET-KEY-1[0-9A-Z]{50,}/g, 'a private key'),
  shape('PuTTY', /\bPuTTY-User-Key-File-\d/g, 'a private key'),
  shape(
    'ghp_ ghs_ gho_ ghu_ ghr_ github_pat_',
    /\bgh[opsur]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{50,}/g,
    'a token of GitHub',
  ),
  shape(
    'glpat- glptt- gldt- glrt- glcbt- glsoat-',
    /(?<![\w-])gl(?:pat|ptt|dt|rt|cbt|soat)-[\w-]{20,}/g,
    'a token of GitLab',
  ),
  shape('sk-', /(?<![\w-])sk-(?:ant|proj|svcacct|admin|or)-[\w-]{30,}/g, 'an API key'),
  shape('T3BlbkFJ', /(?<![\w-])sk-[\w-]{10,200}T3BlbkFJ[\w-]{10,}/g, 'an API key of OpenAI'),
  shape('sk-', /(?<![\w-])sk-[A-Za-z0-9]{32,}(?![\w-])/g, 'an API key'),
  shape('gsk_', /\bgsk_[A-Za-z0-9]{40,}\b/g, 'an API key of Groq'),
  shape('xai-', /(?<![\w-])xai-[A-Za-z0-9]{60,}\b/g, 'an API key of xAI'),
  shape('pplx-', /(?<![\w-])pplx-[A-Za-z0-9]{40,}\b/g, 'an API key of Perplexity'),
  shape('r8_', /\br8_[A-Za-z0-9]{30,}\b/g, 'a token of Replicate'),
  shape('lsv2_', /\blsv2_(?:pt|sk)_[0-9a-f]{32}_\w{8,}/g, 'an API key of LangSmith'),
  shape('wandb_v', /\bwandb_v\d_\w{40,}/g, 'an API key of Weights & Biases'),
  shape(
    'wandb WANDB',
    /wandb[\w. "'([-]{0,40}(?:key|token|login|password)["')(\]\s:=,]{1,20}([0-9a-f]{40})\b/gi,
    'an API key of Weights & Biases',
    1,
  ),
  shape('xox', /(?<![\w-])xox[abeoprs]-[\w-]{20,}/g, 'a token of Slack'),
  shape('xapp-', /(?<![\w-])xapp-\d-[\w-]{20,}/g, 'a token of Slack'),
  shape(
    'hooks.slack.com',
    /hooks\.slack\.com\/(?:services|workflows)\/[A-Za-z0-9+/]{30,}/g,
    'an address of Slack that takes messages',
  ),
  shape('k_live_ k_test_', /\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}/g, 'an API key of Stripe'),
  shape('whsec_', /\bwhsec_[A-Za-z0-9+/]{32,}/g, 'a secret of Stripe'),
  shape('AIza', /(?<![\w-])AIza[\w-]{35}(?![\w-])/g, 'an API key of Google'),
  shape('ya29.', /\bya29\.[\w-]{30,}/g, 'a token of Google'),
  shape('GOCSPX-', /(?<![\w-])GOCSPX-[\w-]{20,}/g, 'a secret of Google'),
  shape('AccountKey=', /\bAccountKey=([A-Za-z0-9+/]{80,}={0,2})/g, 'a key of Azure', 1),
  shape('npm_', /\bnpm_[A-Za-z0-9]{36}\b/g, 'a token of npm'),
  shape('pypi-AgE', /(?<![\w-])pypi-AgE[\w-]{50,}/g, 'a token of PyPI'),
  shape('dckr_pat_', /\bdckr_pat_[\w-]{20,}/g, 'a token of Docker'),
  shape('dop_v1_', /\bdo[opr]_v1_[0-9a-f]{60,}/g, 'a token of DigitalOcean'),
  shape('dapi', /\bdapi[0-9a-f]{32}(?:-\d)?\b/g, 'a token of Databricks'),
  shape('SG.', /(?<![\w-])SG\.[\w-]{20,24}\.[\w-]{40,45}(?![\w-])/g, 'an API key of SendGrid'),
  shape('hvs.', /\bhvs\.[\w-]{80,}/g, 'a token of Vault'),
  shape(':AA', /\b\d{8,10}:AA[\w-]{33}(?![\w-])/g, 'a token of a Telegram bot'),
  shape(
    'api/webhooks/',
    /discord(?:app)?\.com\/api\/webhooks\/\d{15,22}\/[\w-]{50,}/g,
    'an address of Discord that takes messages',
  ),
  shape('.eyJ', /(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{16,}/g, 'a signed token (JWT)'),
  shape(
    '"key"',
    /"username"\s{0,8}:\s{0,8}"[^"\s]{1,64}"\s{0,8},\s{0,8}"key"\s{0,8}:\s{0,8}"([0-9a-f]{32})"/g,
    'the key of Kaggle’s client',
    1,
  ),
  shape(
    '://',
    /:\/\/[^\s/:@"'<>`]{0,128}:([^\s/@"'<>`]{5,256})@[\w.[-]/g,
    'an address with a password',
    1,
  ),
]

/** More are not counted: one is enough to send nothing. */
const mostHits = 1000

/**
 * Looks through a text for secrets, in the order in which they stand there.
 * @param own values that must be in no file, such as the token that this runs with
 */
export function findSecrets(text: string, own: readonly string[] = []): Secret[] {
  const found: Secret[] = []
  for (const value of own) {
    const at = value === '' ? -1 : text.indexOf(value)
    if (at !== -1) found.push({ what: ownToken, at })
  }
  for (const { anchors, pattern, what, group = 0 } of shapes) {
    if (!anchors.some((anchor) => text.includes(anchor))) continue
    let hits = 0
    for (const match of text.matchAll(pattern)) {
      if (isPlaceholder(match[group] ?? '')) continue
      found.push({ what, at: match.index })
      if (++hits === mostHits) break
    }
  }
  // One secret may have two shapes.
  const sorted = found.sort((a, b) => a.at - b.at)
  return sorted.filter(({ at }, i) => at !== sorted[i - 1]?.at).slice(0, mostHits)
}

export const ownToken = 'the token that you are signed in with'

/** Documentation shows hf_xxxxxxxx, AKIAIOSFODNN7EXAMPLE and https://user:password@host. */
function isPlaceholder(text: string): boolean {
  if (/example|placeholder|your[_-]?|<|[$%]?\{|^\$[A-Z_]+$|^[*.]+$/i.test(text)) return true
  if (
    /^(?:my|the|a)?[_-]?(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|changeme|access[_-]?token)$/i.test(
      text,
    )
  ) {
    return true
  }
  if (text.startsWith('-----') || text.startsWith('PuTTY')) return false
  const letters = text.replace(/^[A-Za-z0-9]{1,8}[_-]|^[A-Z]{4}/, '')
  return new Set(letters).size < Math.min(6, letters.length)
}
