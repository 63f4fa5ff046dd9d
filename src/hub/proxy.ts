let ready: Promise<void> | undefined

/**
 * Lets fetch go through a proxy where the environment names one (HTTPS_PROXY,
 * HTTP_PROXY, NO_PROXY). Node's own looks at these only from version 24 on, and on
 * demand; its client, undici, has an agent for them, which takes some time to load.
 */
export function heedProxies(env: Readonly<Record<string, string | undefined>>): Promise<void> {
  const named = ['https_proxy', 'http_proxy'].some((name) => env[name] || env[name.toUpperCase()])
  if (!named) return Promise.resolve()
  ready ??= import('undici').then(({ EnvHttpProxyAgent, setGlobalDispatcher }) =>
    setGlobalDispatcher(new EnvHttpProxyAgent()),
  )
  return ready
}
