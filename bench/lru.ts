/** LRU maps against the kernel: 1,000,000 random calls on a full map, pinned to one CPU, with the same evictions. */
import * as u from "../src/uapi/index.ts";
import { play, type Script } from "../test/kernel/lru_play.ts";
import { EmbeddedSide, openKernelSide } from "../test/kernel/sides.ts";
import { pinThread } from "../test/kernel.ts";
import { kernelOrNone } from "./hosts.ts";
import { keepToOneCpu } from "./machine.ts";
import type { Report } from "./report.ts";

const CALLS = 1_000_000;
const MAX = 256;
/** All keys, in their order, are compared so often: a wrong eviction is seen by then, if no call met it before. */
const EVERY = 128;
const STEP = 250_000;

const maps = [
  ["LRU_HASH", u.BPF_MAP_TYPE_LRU_HASH, 0],
  ["LRU_HASH, BPF_F_NO_COMMON_LRU", u.BPF_MAP_TYPE_LRU_HASH, u.BPF_F_NO_COMMON_LRU],
  ["LRU_PERCPU_HASH", u.BPF_MAP_TYPE_LRU_PERCPU_HASH, 0],
] as const;

export function benchLru(report: Report): void {
  const host = kernelOrNone((line) => report.note(line));
  const kernel = host && openKernelSide();
  if (host === undefined || kernel === undefined) return;
  const cpus = host.possibleCpus;
  host.dispose();
  for (const [name, type, flags] of maps) {
    const shape = { type, key: 4, value: 8, max: MAX, flags: flags | u.BPF_F_ZERO_SEED };
    const valueBytes = type === u.BPF_MAP_TYPE_LRU_HASH ? 8 : 8 * cpus;
    const script: Script = { shape, valueBytes, cpus: [0], calls: CALLS, seed: 1, every: EVERY };
    const theirs = play(kernel, script);
    let calls = 0;
    let listed = 0;
    for (const answer of play(new EmbeddedSide(cpus), script)) {
      const expected = theirs.next().value;
      if (answer !== expected) throw new Error(`${name}, call ${calls}: embedded ${answer}, kernel ${expected}`);
      if (calls % EVERY === 0) listed++;
      calls++;
      if (calls % STEP === 0) report.progress(`${name}: ${calls} calls`);
    }
    theirs.next();
    report.note(
      `${name}: ${calls} calls on a map of ${MAX} gave the same answers as the kernel's; all keys and their order were the same each of ${listed} times that they were compared`,
    );
  }
  // Where the thread was before the calls pinned it elsewhere.
  pinThread(-1);
  keepToOneCpu();
}
