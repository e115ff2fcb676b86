import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const here = new URL(".", import.meta.url);
const REFERENCE = '/// <reference lib="esnext.disposable" preserve="true" />';

// Without it the .d.ts files do not compile for users whose `lib` ends with ES2022 or ES2024.
test("who speaks of Disposable names the library that declares it", () => {
  const files = readdirSync(here, { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".ts") && !name.endsWith(".test.ts"),
  );
  const users = files.filter((name) =>
    /\bDisposable\b|Symbol\.dispose/.test(readFileSync(new URL(name, here), "utf8")),
  );
  expect(users.length).toBeGreaterThan(3);
  expect(users.filter((name) => !readFileSync(new URL(name, here), "utf8").includes(REFERENCE))).toEqual([]);
});
