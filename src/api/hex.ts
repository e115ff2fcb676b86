/** Bytes as hexadecimal digits. */

/** "00" to "ff": joining these is quicker than printing numbers. */
export const HEX: readonly string[] = /* @__PURE__ */ Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).padStart(2, "0"),
);

/** Two digits for each byte, nothing between them. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX[byte]!;
  return text;
}
