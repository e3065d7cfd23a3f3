/** What can be wrong with any request before its handler sees it, or with any answer after. */
import { HttpApiMiddleware } from "effect/http-api"
import {
  BodyTooLarge,
  InternalError,
  InvalidBody,
  InvalidRequest,
  UnsupportedMediaType,
  UploadBroken,
} from "./Problems.ts"

export class Boundary extends HttpApiMiddleware.Service<Boundary>()("mailfleet/api/Boundary", {
  error: [InvalidRequest, InvalidBody, UnsupportedMediaType, BodyTooLarge, UploadBroken, InternalError],
}) {}
