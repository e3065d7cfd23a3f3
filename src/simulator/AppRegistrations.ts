/** Apps and service accounts, as a test registers them and reads them back. */
import { X509Certificate } from "node:crypto"
import type { NewApp, NewServiceAccount } from "./ControlPayloads.ts"
import { Unfit } from "./ControlErrors.ts"
import type { App, Registration } from "./Population.ts"
import type { World } from "./World.ts"

const microsoftOnly = ["certificates", "tenant", "consentedTenants", "spa"] as const
const googleOnly = ["testing", "testUsers"] as const

/** Registers an app, or changes one; of an app with redirect URIs, no others are served. */
export const registerApp = ({ population }: World, app: NewApp): App => {
  const { certificates, spa, testing, ...rest } = app
  const known = population.app(app.clientId ?? "")
  const provider = app.provider ?? known?.provider ?? "microsoft"
  if (known !== undefined && known.provider !== provider) {
    throw new Unfit({ message: `${known.clientId} is an app of the other provider` })
  }
  const foreign = (provider === "google" ? microsoftOnly : googleOnly).find((name) => app[name] !== undefined)
  if (foreign !== undefined) throw new Unfit({ message: `no app of this provider has ${foreign}` })
  const registration: Registration = {
    ...rest,
    provider,
    ...(certificates === undefined ? {} : { certificates: certificates.map(readCertificate) }),
    ...(spa === undefined ? {} : { isSpa: spa }),
    ...(testing === undefined ? {} : { isTesting: testing }),
  }
  return population.register(registration)
}

/**
 * @param tokenUrl the token endpoint, as the key file names it
 * @returns the key file that Google would hand out, unless the key came from outside
 */
export const registerServiceAccount = (
  { serviceAccounts }: World,
  { email, publicKey, scopes }: NewServiceAccount,
  tokenUrl: string,
) => {
  try {
    const privateKey = serviceAccounts.register(email, scopes, publicKey)
    const keyFile = { type: "service_account", client_email: email, private_key: privateKey, token_uri: tokenUrl }
    return { email, keyFile: privateKey === undefined ? null : JSON.stringify(keyFile) }
  } catch {
    throw new Unfit({ message: "publicKey is one in PEM form" })
  }
}

export const appState = (app: App) => ({
  provider: app.provider,
  clientId: app.clientId,
  clientSecret: app.secret ?? null,
  fault: app.fault ?? null,
  redirectUris: app.redirectUris ?? null,
  tenant: app.tenant ?? null,
  consentedTenants: app.consentedTenants ?? null,
  /** Colon-separated SHA-256 thumbprints. */
  certificates: app.certificates.map(({ fingerprint256 }) => fingerprint256),
  spa: app.isSpa,
  testing: app.isTesting,
  testUsers: app.testUsers ?? null,
})

const readCertificate = (pem: string): X509Certificate => {
  try {
    return new X509Certificate(pem)
  } catch {
    throw new Unfit({ message: "a certificate is one in PEM form" })
  }
}
