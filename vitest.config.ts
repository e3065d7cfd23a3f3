import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Vitest's threads need what Deno's worker_threads do not have (`parentPort.removeAllListeners`).
    pool: "forks",
    // Each file may hold an embedded database of 300 MB, and some tests measure times.
    maxWorkers: 2,
    // The first start of an embedded database takes 4 seconds, or several times that on a busy machine.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
  },
})
