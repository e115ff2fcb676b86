/** Makes a host in a new memory, and attaches threads to one that is there. */
import { Bug } from "../errors.ts";
import { initAlloc } from "../mem/alloc.ts";
import {
  GRANULE,
  LAYOUT_VERSION,
  PAGE_SIZE,
  SB_CLOCK_VIRTUAL,
  SB_CPUS,
  SB_GRANULE,
  SB_KERNEL_VERSION,
  SB_MAGIC,
  SB_MAGIC_VALUE,
  SB_PAGE,
  SB_RUN_BUDGET,
  SB_SHARED,
  SB_TIME_ORIGIN,
  SB_VERSION,
} from "../mem/layout.ts";
import { attachMemory, reserveMemory } from "../mem/memory.ts";
import { seedRandom } from "../mem/random.ts";
import { mountBpffs } from "./bpffs_tree.ts";
import { announceClient, type ClientSlot } from "./clients.ts";
import { newProcess } from "./fds.ts";
import { Kernel } from "./kernel.ts";

export interface KernelOptions {
  /** Bytes of linear memory, a multiple of 64 KiB. */
  readonly memory: number;
  readonly cpus: number;
  readonly shared: boolean;
  readonly seed: number;
  /** True: time stands still until it is advanced. */
  readonly virtualClock: boolean;
  /** Most instructions of one run, default RUN_BUDGET. */
  readonly runBudget?: number;
}

export const RUN_BUDGET = 100_000_000;

/** Linux 6.18, as `major << 16 | minor << 8`. */
const KERNEL_6_18 = (6 << 16) | (18 << 8);

/** Reserves and lays out a memory and attaches the caller as its first client. */
export function createKernel(options: KernelOptions): Kernel {
  const granules = Math.floor(options.memory / GRANULE);
  const mem = reserveMemory(granules, options.shared);
  initAlloc(mem, granules);
  const { u32 } = mem;
  u32[SB_VERSION >>> 2] = LAYOUT_VERSION;
  u32[SB_GRANULE >>> 2] = GRANULE;
  u32[SB_PAGE >>> 2] = PAGE_SIZE;
  u32[SB_CPUS >>> 2] = options.cpus;
  u32[SB_SHARED >>> 2] = options.shared ? 1 : 0;
  u32[SB_KERNEL_VERSION >>> 2] = KERNEL_6_18;
  u32[SB_CLOCK_VIRTUAL >>> 2] = options.virtualClock ? 1 : 0;
  mem.u64[SB_RUN_BUDGET >>> 3] = BigInt(options.runBudget ?? RUN_BUDGET);
  mem.view.setFloat64(SB_TIME_ORIGIN, performance.timeOrigin, true);
  seedRandom(mem, options.seed);
  u32[SB_MAGIC >>> 2] = SB_MAGIC_VALUE;
  // The first client has no owner number yet; nobody else is there who could hold a lock.
  mem.owner = 1;
  const process = mountBpffs(mem) ? newProcess(mem) : 0;
  const client = process === 0 ? undefined : announceClient(mem, process);
  if (client === undefined) throw new Bug(`a memory of ${options.memory} bytes has no room for its first client`);
  return new Kernel(mem, client);
}

/** Attaches the calling thread to a host that another thread shares. */
export function attachKernel(wasm: WebAssembly.Memory, client: ClientSlot): Kernel {
  return new Kernel(attachMemory(wasm), client);
}
