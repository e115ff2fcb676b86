/** How clients leave a host: by themselves, or cleaned up after by the thread that announced them. */
import { free } from "../mem/alloc.ts";
import { SB_ALLOC_LOCK } from "../mem/layout.ts";
import { blocksOf, type ClientBlock, type ClientSlot, isClient, releaseClient } from "./clients.ts";
import { endRunsOf } from "./cpus.ts";
import { freeProcess, nextOpenFd, PROCESS_CLIENTS, PROCESS_LOCK, removeFd } from "./fds.ts";
import type { Kernel } from "./kernel.ts";
import { dropMappingsOf } from "./mappings.ts";
import { abandonUse } from "./use.ts";

/** This thread leaves; the last one of a process closes its fds. */
export function detach(kernel: Kernel): void {
  const { mem, client, process } = kernel;
  if (!isClient(mem, client)) return;
  cleanUp(kernel, client, blocksOf(mem, client));
  // While this client still counts as alive, nobody takes its locks over.
  if (mem.u32[(process + PROCESS_CLIENTS) >>> 2] === 1) closeAll(kernel, process);
  const ended = releaseClient(mem, client);
  if (ended > 0) endProcess(kernel, ended);
}

/** Cleans up after a thread that ended, however it ended. Called by the thread that announced it. */
export function reap(kernel: Kernel, client: ClientSlot): void {
  const { mem } = kernel;
  if (!isClient(mem, client)) return;
  const blocks = blocksOf(mem, client);
  const owned = abandonUse(mem, client.slot);
  // First of all its locks must be free to be taken over: what follows may need them.
  const process = releaseClient(mem, client);
  if (process >= 0) cleanUpAfter(kernel, client, blocks, owned, process);
}

/**
 * Where the system does not tell that a thread is gone (`threadGone`: browsers, all but Linux), others may have died
 * with a lock whose `exit` event this thread has not got to yet: to wait for it in here would be to wait for ever.
 */
function cleanUpAfter(
  kernel: Kernel,
  client: ClientSlot,
  blocks: readonly ClientBlock[],
  owned: number,
  process: number,
): void {
  const { mem } = kernel;
  if (!isClient(mem, kernel.client)) return;
  if (mem.atomics.load32(SB_ALLOC_LOCK) !== 0 || mem.atomics.load32(kernel.process + PROCESS_LOCK) !== 0) {
    setTimeout(() => cleanUpAfter(kernel, client, blocks, owned, process), 1);
    return;
  }
  if (owned !== 0) kernel.put(owned);
  cleanUp(kernel, client, blocks);
  if (process !== 0) endProcess(kernel, process);
}

function cleanUp(kernel: Kernel, client: ClientSlot, blocks: readonly ClientBlock[]): void {
  dropMappingsOf(kernel, client);
  endRunsOf(kernel, client);
  for (const { address, size, pool } of blocks) free(kernel.mem, address, size, pool);
}

function endProcess(kernel: Kernel, process: number): void {
  closeAll(kernel, process);
  freeProcess(kernel.mem, process);
}

function closeAll(kernel: Kernel, process: number): void {
  const { mem } = kernel;
  for (let fd = nextOpenFd(mem, process, 0); fd >= 0; fd = nextOpenFd(mem, process, fd)) {
    kernel.putUser(removeFd(mem, process, fd));
  }
}
