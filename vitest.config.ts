import { defineConfig, type UserConfig } from "vitest/config";

const config: UserConfig = defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    pool: "forks",
    testTimeout: 30_000,
  },
});
export default config;
