import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { sha256 } from "./sha256.ts";

test("agrees with Node's SHA-256 around block borders", () => {
  for (const n of [0, 1, 3, 8, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000]) {
    const bytes = Uint8Array.from({ length: n }, (_, i) => (i * 31 + n) & 255);
    expect([...sha256(bytes)], `${n} bytes`).toEqual([...createHash("sha256").update(bytes).digest()]);
  }
});
