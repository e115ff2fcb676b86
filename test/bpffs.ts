/** Pins in tests, on any host. Nothing here needs Node. */
import type { Host } from "../src/host/host.ts";
import { EISDIR } from "../src/uapi/index.ts";

/** Where bpffs is on the embedded host. */
export const EMBEDDED_BPFFS = "/sys/fs/bpf";

/** Drops all pins and directories below a directory, but what the kernel has put there itself (`maps.debug`). */
export function emptyBpffs({ bpffs }: Pick<Host, "bpffs">, dir: string): void {
  const names = bpffs.readdir(dir);
  if (typeof names === "number") return;
  for (const name of names.filter((each) => !each.includes("."))) {
    const path = `${dir}/${name}`;
    if (bpffs.unlink(path) !== -EISDIR) continue;
    emptyBpffs({ bpffs }, path);
    bpffs.rmdir(path);
  }
}
