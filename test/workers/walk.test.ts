/** Walks of the typed API while another thread changes the map all the time. */
import { afterAll, describe, expect, test } from "vitest";
import type { HostContext } from "../../src/api/context.ts";
import {
  type BpfHost,
  type BpfMap,
  createEmbedded,
  type EmbeddedBpfHost,
  type HashMap,
  ipv4,
  type LpmTrieMap,
  lpmKey,
  openKernel,
  perCpu,
  u32,
  u64,
  type Walk,
} from "../../src/index.ts";
import { kernelHost } from "../kernel.ts";
import { withoutBatches } from "../without_batches.ts";
import { startThread } from "./worker.ts";

/** Keys below this stay; those from here on come and go. */
const STAY = 300;
const COME_AND_GO = 300;

/** Sets and deletes keys, most of them in runs, until it is told to stop. */
const churn = `
  const { attachEmbedded, openKernel, lpmKey, ipv4, u32, u64, perCpu } = await load("index");
  const host = data.ticket ? attachEmbedded(data.ticket) : openKernel();
  const key = data.type === "lpm_trie" ? lpmKey(ipv4) : u32;
  const map = host.openMap({ fd: data.fd }, { type: data.type, key, value: u64 });
  const keyOf = (n) => data.type === "lpm_trie" ? { prefixLen: 32, data: "10.0." + (n >> 8) + "." + (n & 255) } : n;
  const value = data.type.includes("percpu") ? perCpu({ cpus: host.possibleCpus, all: 1n }) : 1n;
  const stop = new Int32Array(data.stop);
  ready();
  let changes = 0;
  for (let n = 0; Atomics.load(stop, 0) === 0; n++, changes += 2) {
    map.set(keyOf(${STAY} + (n % ${COME_AND_GO})), value);
    map.delete(keyOf(${STAY} + ((n + ${COME_AND_GO / 2}) % ${COME_AND_GO})));
  }
  map.close();
  host.close();
  return changes;
`;

interface Walked {
  readonly keys: readonly number[];
  readonly complete: boolean;
}

/** Walks over the map again and again under change. */
async function underChange(host: BpfHost, map: BpfMap, type: string, walk: () => Walked): Promise<readonly Walked[]> {
  const stop = new SharedArrayBuffer(4);
  const ticket = host.kind === "embedded" ? (host as EmbeddedBpfHost).share() : undefined;
  const started = startThread<number>(churn, { ticket, fd: map.fd, type, stop });
  try {
    await Promise.race([started.ready, started.done]);
    const walks: Walked[] = [];
    const start = performance.now();
    const enough = (): boolean => {
      const ms = performance.now() - start;
      return walks.length >= 5 && ms > 80 && (walks.some((each) => each.complete) || ms > 3000);
    };
    while (!enough()) walks.push(walk());
    return walks;
  } finally {
    Atomics.store(new Int32Array(stop), 0, 1);
    expect(await started.done).toBeGreaterThan(100);
    await started.gone;
    if (ticket !== undefined) (host as EmbeddedBpfHost).reap(ticket);
  }
}

/** A walk that calls itself complete has visited every key that was there all the time. */
function judge(walks: readonly Walked[]): void {
  const missed = walks.filter(({ keys, complete }) => {
    const seen = new Set(keys);
    return complete && Array.from({ length: STAY }, (_, key) => key).some((key) => !seen.has(key));
  });
  expect(missed.length).toBe(0);
  expect(walks.some((walk) => walk.complete)).toBe(true);
}

const openers: Record<string, () => BpfHost> = {
  embedded: () => createEmbedded({ shared: true, memory: 32 << 20, cpus: 2 }),
};
if (kernelHost() !== undefined) openers.kernel = openKernel;

describe.each(Object.entries(openers))("%s", (_name, open) => {
  const host = open();
  const { batches } = (host as unknown as { context: HostContext }).context;
  afterAll(() => host.close());

  const walked = <T>(walk: Walk<T>, keyOf: (item: T) => number): Walked => {
    const keys = Array.from(walk, keyOf);
    return { keys, complete: walk.complete };
  };

  for (const type of ["hash", "percpu_hash"] as const) {
    for (const way of ["batches", "key by key"]) {
      test(`${type}, ${way}`, async () => {
        const value = type === "hash" ? 0n : perCpu({ cpus: host.possibleCpus, all: 0n });
        const map = host.createMap({ type, key: u32, value: u64, maxEntries: 1024 } as never) as HashMap<
          number,
          unknown
        >;
        map.setMany(Array.from({ length: STAY }, (_, key) => [key, value] as const));
        if (way !== "batches") withoutBatches(batches, [map.info.typeNumber]);
        const walks = await underChange(host, map, type, () => walked(map.entries(), ([key]) => key));
        judge(walks);
        // With batches a bucket is read as a whole: nothing comes twice.
        if (way === "batches") for (const { keys } of walks) expect(new Set(keys).size).toBe(keys.length);
        batches.clear();
        map.close();
      });
    }
  }

  test.each(["batches", "key by key"])("lpm_trie, %s", async (way) => {
    const map: LpmTrieMap<string, bigint> = host.createMap({
      type: "lpm_trie",
      key: lpmKey(ipv4),
      value: u64,
      maxEntries: 1024,
    });
    const data = (n: number): string => `10.0.${n >> 8}.${n & 255}`;
    map.setMany(Array.from({ length: STAY }, (_, n) => [{ prefixLen: 32, data: data(n) }, 0n] as const));
    if (way !== "batches") withoutBatches(batches, [map.info.typeNumber]);
    const number = (text: string): number => {
      const [, , high, low] = text.split(".").map(Number);
      return high! * 256 + low!;
    };
    const walks = await underChange(host, map, "lpm_trie", () => walked(map.keys(), (key) => number(key.data)));
    judge(walks);
    batches.clear();
    map.close();
  });
});
