import { configDefaults, defineConfig, type Plugin, type ViteUserConfig } from "vitest/config";

/**
 * Nearly all files share two processes: half of their time would go into starting one for each, and code that has run is
 * faster. These have their own, since they look at, or change, what is a whole process's: its memory and its collector,
 * its kernel host, vitest's matchers, the library's modules.
 */
const OWN_PROCESS = [
  "src/host/kernel*.test.ts",
  "src/vitest/**/*.test.ts",
  "test/memory/leak.test.ts",
  "test/conformance/**/mutations.test.ts",
];

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
      {
        extends: true,
        test: {
          name: "shared",
          isolate: false,
          include: ["**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...OWN_PROCESS],
        },
      },
      { extends: true, test: { name: "own process", include: OWN_PROCESS } },
    ],
  },
});
export default config;
