// A relying party with openid-client, for foreign_node_test.go. It talks over
// standard input and output, a JSON value a line: it is told its settings, asks for
// a browser where a person is needed ({visit: address}, answered by the address
// that the browser was sent back to), and ends with {done: what it saw} or
// {failed: why}.
import dns from 'node:dns'
import { createInterface } from 'node:readline'
import * as client from 'openid-client'

// Names under .localhost are this machine (RFC 6761 §6.3); not every resolver knows.
const lookup = dns.lookup
dns.lookup = (name, ...rest) => lookup(name.endsWith('.localhost') ? '127.0.0.1' : name, ...rest)

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const hear = async () => JSON.parse((await lines.next()).value)
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const visit = async (address) => {
  say({ visit: address })
  return new URL(await hear())
}

// settings: issuer, id, auth (as registered), secret or key (a private JWK), alg of
// the key, redirect, logout (where to go after it), scope, acr, and the features to
// use: par, jar, dpop, jarm, revoke, introspect.
const settings = await hear()

const auths = {
  client_secret_basic: () => client.ClientSecretBasic(settings.secret),
  client_secret_post: () => client.ClientSecretPost(settings.secret),
  none: () => client.None(),
  private_key_jwt: async () => client.PrivateKeyJwt({ key: await imported(settings.key), kid: settings.key.kid }),
}

const imported = (jwk) =>
  crypto.subtle.importKey('jwk', jwk, jwk.kty === 'EC' ? { name: 'ECDSA', namedCurve: jwk.crv } : { name: 'RSA-PSS', hash: 'SHA-256' }, false, ['sign'])

const configure = async () => {
  const config = await client.discovery(new URL(settings.issuer), settings.id, settings.metadata ?? {}, await auths[settings.auth]())
  if (settings.jarm) client.useJwtResponseMode(config)
  const options = settings.dpop ? { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256')) } : undefined
  return { config, options }
}

const begin = async (config, options) => {
  const verifier = client.randomPKCECodeVerifier()
  const checks = { pkceCodeVerifier: verifier, expectedNonce: client.randomNonce(), expectedState: client.randomState(), idTokenExpected: true }
  const parameters = {
    redirect_uri: settings.redirect,
    scope: settings.scope,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    nonce: checks.expectedNonce,
    state: checks.expectedState,
  }
  if (settings.acr) parameters.acr_values = settings.acr
  const addresses = {
    par: () => client.buildAuthorizationUrlWithPAR(config, parameters, options),
    jar: async () => client.buildAuthorizationUrlWithJAR(config, parameters, { key: await imported(settings.key), kid: settings.key.kid }),
    plain: () => client.buildAuthorizationUrl(config, parameters),
  }
  const address = await addresses[settings.par ? 'par' : settings.jar ? 'jar' : 'plain']()
  return { checks, address: address.href }
}

// sign-in: the whole life of a person's tokens.
const signIn = async () => {
  const { config, options } = await configure()
  const { checks, address } = await begin(config, options)
  const back = await visit(address)
  let tokens = await client.authorizationCodeGrant(config, back, checks, undefined, options)
  const seen = { address, back: back.href, type: tokens.token_type, claims: tokens.claims(), userinfo: [], rotated: [] }
  const look = async () => seen.userinfo.push(await client.fetchUserInfo(config, tokens.access_token, seen.claims.sub, options))
  await look()
  let kept = tokens
  for (let i = 0; i < (settings.refreshes ?? 0); i++) {
    tokens = await client.refreshTokenGrant(config, kept.refresh_token, undefined, options)
    seen.rotated.push(tokens.refresh_token !== undefined && tokens.refresh_token !== kept.refresh_token)
    kept = { ...kept, ...tokens }
    await look()
  }
  if (settings.introspect) seen.introspected = await client.tokenIntrospection(config, tokens.access_token)
  if (settings.revoke) {
    await client.tokenRevocation(config, settings.revoke === 'refresh_token' ? kept.refresh_token : tokens.access_token)
    seen.revoked = await refused(() => client.fetchUserInfo(config, tokens.access_token, seen.claims.sub, options))
  }
  if (settings.logout) {
    const end = client.buildEndSessionUrl(config, { id_token_hint: kept.id_token, post_logout_redirect_uri: settings.logout, state: 'gone' })
    seen.loggedOut = (await visit(end.href)).href
    seen.afterwards = {
      userinfo: await refused(() => client.fetchUserInfo(config, tokens.access_token, seen.claims.sub, options)),
    }
    if (kept.refresh_token) seen.afterwards.refresh = await refused(() => client.refreshTokenGrant(config, kept.refresh_token, undefined, options))
  }
  return seen
}

// What the provider says when it refuses, as the library understands it.
const refused = async (attempt) => {
  try {
    await attempt()
  } catch (error) {
    return error.error ?? error.cause?.[0]?.parameters?.error ?? error.code ?? String(error)
  }
  return 'nothing was refused'
}

// error: the person says no, or the request cannot be met.
const answerIsAnError = async () => {
  const { config, options } = await configure()
  const { checks, address } = await begin(config, options)
  const back = await visit(address)
  return { error: await refused(() => client.authorizationCodeGrant(config, back, checks, undefined, options)) }
}

// An answer of another provider, which RFC 9207 is there to notice.
const mixUp = async () => {
  const { config, options } = await configure()
  const { checks, address } = await begin(config, options)
  const back = await visit(address)
  back.searchParams.set('iss', 'https://other.localhost')
  return { error: await refused(() => client.authorizationCodeGrant(config, back, checks, undefined, options)) }
}

const itself = async () => {
  const { config, options } = await configure()
  const tokens = await client.clientCredentialsGrant(config, { scope: settings.scope }, options)
  const seen = { type: tokens.token_type, scope: tokens.scope, seconds: tokens.expires_in }
  if (settings.introspect) seen.introspected = await client.tokenIntrospection(config, tokens.access_token)
  return seen
}

const device = async () => {
  const { config, options } = await configure()
  const started = await client.initiateDeviceAuthorization(config, { scope: settings.scope })
  await visit(started.verification_uri_complete ?? started.verification_uri)
  const tokens = await client.pollDeviceAuthorizationGrant(config, started, undefined, options)
  return { userCode: started.user_code, claims: tokens.claims(), userinfo: [await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, options)] }
}

const doing = { 'sign in': signIn, 'be refused': answerIsAnError, 'mix up': mixUp, 'act for itself': itself, 'sign in on a device': device }
try {
  say({ done: await doing[settings.do]() })
} catch (error) {
  say({ failed: [error.name, error.code, error.error, error.error_description, error.message, error.cause?.message ?? JSON.stringify(error.cause)].filter(Boolean).join(': ') })
}
process.exit(0)
