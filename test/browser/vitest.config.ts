/** `npm run test:browser`: also the benchmark, which takes too long for `npm test`. */
import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    root: `${import.meta.dirname}/../..`,
    include: ["test/browser/*.test.ts", "test/browser/bench.run.ts"],
    // One page after the other: they would take each other's time.
    fileParallelism: false,
    pool: "forks",
  },
});
export default config;
