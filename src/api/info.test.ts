import { expect, test } from "vitest";
import { nameAt } from "./info.ts";
import { kernelName } from "./load_program.ts";

test("a name ends at its NUL, at its field's end, or where the bytes do", () => {
  const bytes = new TextEncoder().encode("..flows\0x");
  expect(nameAt(bytes, { offset: 2, size: 8 })).toBe("flows");
  expect(nameAt(bytes, { offset: 2, size: 3 })).toBe("flo");
  expect(nameAt(bytes, { offset: 8, size: 16 })).toBe("x");
});

test("what the kernel keeps of a name: 15 bytes, and no more than there are", () => {
  expect(kernelName("huge")).toBe("huge");
  expect(kernelName("a_name_of_twenty_let")).toBe("a_name_of_twent");
});
