import { expect, test } from "vitest";
import * as layout from "./layout.ts";

test("every word of the superblock has one name", () => {
  const words = Object.entries(layout).filter(([name]) => name.startsWith("SB_") && name !== "SB_MAGIC_VALUE");
  const twice = words.filter(([name, at]) => words.some(([other, where]) => other !== name && where === at));
  expect(twice).toEqual([]);
  expect(words.length).toBeGreaterThan(20);
});
