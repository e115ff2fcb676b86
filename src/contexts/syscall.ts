/** Programs that user space calls: the context is memory of the caller's, of any layout. */
import { syscallHelpers } from "./helper_groups.ts";
import type { ContextFamily } from "./table.ts";

/** U16_MAX */
export const SYSCALL_CTX_MAX = 0xffff;

export const syscallContext: ContextFamily = {
  size: SYSCALL_CTX_MAX,
  access: (offset, size) => offset % size === 0,
  helpers: syscallHelpers,
  packetLoads: false,
  attachTypes: [0],
  sleepable: "only",
  kernelPointers: true,
};
