/** The encryption of stored secrets. */
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { EncryptionRotation } from "../domain/EncryptionRotation.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { KeyProviderUnavailable } from "./Problems.ts"

export class Encryption extends HttpApiGroup.make("encryption")
  .add(
    HttpApiEndpoint.get("rotation", "/v1/encryption/rotation", { success: EncryptionRotation }).annotateMerge(
      OpenApi.annotations({
        summary: "How the rotation of the encryption key stands",
        description: "The last one, which keys stored secrets need, and which may be removed from the settings.",
      }),
    ),
    HttpApiEndpoint.post("rotate", "/v1/encryption/rotation", {
      success: EncryptionRotation.pipe(HttpApiSchema.status(202)),
      error: KeyProviderUnavailable,
    }).annotateMerge(OpenApi.annotations({
      summary: "Rotate the encryption key",
      description: [
        "Makes a new data key, wrapped by the first key of `MAILFLEET_ENCRYPTION_KEYS` or by `MAILFLEET_KEY_COMMAND`, and seals",
        "every stored secret by it in the background. All processes must have been started with the new setting before. One that",
        "is under way is joined.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ title: "Encryption", description: "The encryption of stored secrets." })) {}
