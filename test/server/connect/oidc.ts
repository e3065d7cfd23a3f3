/** Where `oidc-provider` listens. */
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"

export const close = (server: Server) =>
  new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })

export const listen = (server: Server, port: number) =>
  new Promise<number>((resolve) =>
    server.listen(port, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  )

export const freePort = async (): Promise<number> => {
  const server = createServer()
  const port = await listen(server, 0)
  await close(server)
  return port
}
