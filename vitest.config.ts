import { defineConfig, type Plugin, type ViteUserConfig } from "vitest/config";

/** They share two processes, since half of their time would go into starting one for each. */
const UNITS = ["src/**/*.test.ts", "bench/**/*.test.ts"];
/** Tests of what is a whole process's: its memory and its collector, its kernel host, vitest's matchers. */
const OWN_PROCESS = ["src/host/**/*.test.ts", "src/vitest/**/*.test.ts"];

const SRC = `${import.meta.dirname}/src/`;
/**
 * For `npm test`, which has built dist/: tests get from there what they import from src/. So what ships is tested, and Node
 * itself loads it, which takes a fraction of the time and leaves the code as fast as it is.
 */
const built: Plugin = {
  name: "built",
  enforce: "pre",
  async resolveId(source, importer, options) {
    const found = await this.resolve(source, importer, { ...options, skipSelf: true });
    if (found === null || !found.id.startsWith(SRC) || !/(?<!\.test)\.ts$/.test(found.id)) return found;
    return { id: `${import.meta.dirname}/dist/${found.id.slice(SRC.length, -".ts".length)}.js`, external: true };
  },
};

const config: ViteUserConfig = defineConfig({
  plugins: process.env.TEST_BUILT === undefined ? [] : [built],
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
