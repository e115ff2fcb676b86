import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    pool: "forks",
    // All cores: vitest would leave one free.
    maxWorkers: "100%",
    testTimeout: 30_000,
  },
});
export default config;
