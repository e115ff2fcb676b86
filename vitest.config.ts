import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "examples/**/*.test.ts"],
    // Examples import the package by its name, as users do.
    alias: [
      { find: /^bpfmaps$/, replacement: `${import.meta.dirname}/src/index.ts` },
      { find: /^bpfmaps\/vitest$/, replacement: `${import.meta.dirname}/src/vitest/index.ts` },
    ],
    pool: "forks",
    // All cores: vitest would leave one free.
    maxWorkers: "100%",
    testTimeout: 30_000,
  },
});
export default config;
