import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Vitest's threads need what Deno's worker_threads do not have (`parentPort.removeAllListeners`).
    pool: "forks",
    // For two cores: much of a test is waiting for other processes. Each worker holds an embedded database of 300 MB.
    maxWorkers: 3,
    // Files share the process, its modules and its embedded database: their starts would take half of the time.
    isolate: false,
    // The first start of an embedded database takes 4 seconds, or several times that on a busy machine.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
  },
})
