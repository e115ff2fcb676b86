import { expect, test } from "vitest";
import { essentialName } from "./essential_name.ts";
import { BtfBuilder, parseBtf } from "./index.ts";

test.each([
  ["task_struct", "task_struct"],
  ["task_struct___old", "task_struct"],
  ["a___b___c", "a___b"],
  ["a____b", "a____b"],
  ["a_____b", "a_____b"],
  ["a___", "a___"],
  ["___a", "___a"],
  ["a___b_", "a"],
  ["a____b___c", "a____b"],
  ["x___y____z", "x"],
  ["", ""],
])("%s is %s", (name, expected) => {
  expect(essentialName(name)).toBe(expected);
});

test("types by name, with their flavors", () => {
  const b = new BtfBuilder();
  for (const name of ["x___new", "y", "x", "x___new", "x____no"]) b.struct(name, 0, []);
  const btf = parseBtf(b.build());
  expect(btf.findFlavors("x")).toEqual([1, 3, 4]);
  expect(btf.findFlavors("x___new")).toEqual([1, 4]);
  expect(btf.findFlavors("z")).toEqual([]);
});
