import { defineConfig, type ViteUserConfig } from "vitest/config";

/** They share two processes, since half of their time would go into starting one for each. */
const UNITS = ["src/**/*.test.ts"];
/** Tests of what is a whole process's: its memory and its collector, its kernel host, vitest's matchers. */
const OWN_PROCESS = ["src/host/**/*.test.ts", "src/vitest/**/*.test.ts"];

const config: ViteUserConfig = defineConfig({
  test: {
    // Examples import the package by its name, as users do.
    alias: [
      { find: /^bpfmaps$/, replacement: `${import.meta.dirname}/src/index.ts` },
      { find: /^bpfmaps\/vitest$/, replacement: `${import.meta.dirname}/src/vitest/index.ts` },
    ],
    pool: "forks",
    // All cores: vitest would leave one free.
    maxWorkers: "100%",
    // For machines that have other things to do.
    testTimeout: 60_000,
    projects: [
      { extends: true, test: { name: "units", isolate: false, include: UNITS, exclude: OWN_PROCESS } },
      {
        extends: true,
        test: { name: "processes", include: [...OWN_PROCESS, "test/**/*.test.ts", "examples/**/*.test.ts"] },
      },
    ],
  },
});
export default config;
