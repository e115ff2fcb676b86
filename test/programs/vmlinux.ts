/** The types of the kernel that runs here, where it tells them: what embedded hosts can be given, too. */
import { existsSync, readFileSync } from "node:fs";
import { parseBtf } from "../../src/btf/index.ts";
import { type Layout, layoutFrom } from "./layouts.ts";

const PATH = "/sys/kernel/btf/vmlinux";
const bytes = existsSync(PATH) ? new Uint8Array(readFileSync(PATH)) : undefined;
const btf = bytes && parseBtf(bytes);

/** These structs as they are laid out in it, and its BTF; nothing where one of them, or of `functions`, is not there. */
export function vmlinuxLike(
  layout: Layout,
  functions: readonly string[] = [],
): { readonly layout: Layout; readonly kernelBtf: Uint8Array } | undefined {
  if (bytes === undefined || btf === undefined) return undefined;
  if (functions.some((name) => btf.find(name, "func") === undefined)) return undefined;
  const placed = layoutFrom(btf, layout);
  return placed && { layout: placed, kernelBtf: bytes };
}
