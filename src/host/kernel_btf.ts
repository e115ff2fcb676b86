/** The running kernel's BTF, which Linux shows as a file since 5.4 when it was built with CONFIG_DEBUG_INFO_BTF. */
import { parseBtf } from "../btf/index.ts";
import type { KernelBtf } from "./host.ts";

const VMLINUX = "/sys/kernel/btf/vmlinux";

/** Undefined: this kernel has none, or sysfs is not there. */
export function readKernelBtf(): KernelBtf | undefined {
  let bytes: Uint8Array;
  try {
    bytes = process.getBuiltinModule("fs").readFileSync(VMLINUX);
  } catch {
    return undefined;
  }
  return { btf: parseBtf(bytes), complete: true };
}
