import { expect, test } from "vitest";
import { toHex } from "./hex.ts";

test("two digits a byte", () => {
  expect(toHex(Uint8Array.of(0, 1, 0xab, 255))).toBe("0001abff");
  expect(toHex(new Uint8Array())).toBe("");
});
