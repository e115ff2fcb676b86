/** HASH from 1,000 to 10,000,000 entries: how the cost of a lookup grows; and a life of one with 10,000,000. */
import { createEmbeddedHost } from "../src/host/embedded.ts";
import type { Host } from "../src/index.ts";
import * as u from "../src/uapi/index.ts";
import { compileCLoops } from "./c_loop.ts";
import { kernelOrNone } from "./hosts.ts";
import { JsMap } from "./js_map.ts";
import { randomKeys } from "./keys.ts";
import { measure } from "./measure.ts";
import { memlock } from "./memory.ts";
import { RawMap } from "./raw_map.ts";
import type { Report } from "./report.ts";

const SIZES = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const TEN_MILLION = 10_000_000;
const MEMORY = 4 * 1024 ** 3;

export function benchSizes(report: Report): void {
  const say = (line: string): void => report.note(line);
  const kernel = kernelOrNone(say);
  const c = kernel && compileCLoops(say);
  for (const entries of SIZES) {
    const keys = randomKeys(entries, 1);
    const shape = { type: u.BPF_MAP_TYPE_HASH, valueSize: 8, maxEntries: entries, flags: 0 };
    const hosts = [false, true].map((shared) => createEmbeddedHost({ seed: 1, shared, memory: MEMORY / 2 }));
    const own = hosts.map(
      (host, i) => new RawMap(i === 0 ? "embedded, exclusive" : "embedded, shared", host, shape, keys, false),
    );
    const map = kernel && new RawMap("kernel, raw", kernel, shape, keys, false);
    const sides = [new JsMap("number", keys).lookup(keys), ...own.map((m) => m.lookup(keys))];
    if (map !== undefined) sides.push(...(c ? [c.side("lookup", map, keys)] : []), map.lookup(keys));
    report.measured(`HASH, 4-byte key, 8-byte value: lookup in ${entries} entries`, measure(sides, 5));
    map?.close();
    for (const host of hosts) host.dispose();
  }
  c?.close();
  kernel?.dispose();
}

interface Life {
  readonly name: string;
  readonly create: number;
  readonly fill: number;
  readonly iterate: number;
  readonly remove: number;
  readonly bytes: number;
}

function seconds(run: () => void): number {
  const start = performance.now();
  run();
  return (performance.now() - start) / 1000;
}

/** Created, filled in batches, iterated, emptied and closed; what iteration and deletion find is counted. */
function live(name: string, host: Host, bytesOf: (fd: number) => number): Life {
  const keys = randomKeys(TEN_MILLION, 2);
  const shape = { type: u.BPF_MAP_TYPE_HASH, valueSize: 8, maxEntries: TEN_MILLION, flags: 0 };
  let map: RawMap | undefined;
  const create = seconds(() => {
    map = new RawMap(name, host, shape, { ...keys, count: 0 }, false);
  });
  if (map === undefined) throw new Error(`${name}: no map`);
  const { fd } = map;
  const own = map;
  const fill = seconds(() => own.fill(keys));
  let found = 0;
  const iterate = seconds(() => {
    found = own.countInBatches();
  });
  const bytes = bytesOf(fd);
  const remove = seconds(() => own.deleteAll(keys));
  const left = own.countInBatches();
  if (found !== TEN_MILLION || left !== 0) throw new Error(`${name}: found ${found} elements, ${left} after deletion`);
  map.close();
  return { name, create, fill, iterate, remove, bytes };
}

export function benchTenMillion(report: Report): void {
  const kernel = kernelOrNone((line) => report.note(line));
  const lives: Life[] = [];
  for (const shared of [false, true]) {
    const host = createEmbeddedHost({ seed: 1, shared, memory: MEMORY });
    lives.push(live(shared ? "embedded, shared" : "embedded, exclusive", host, (fd) => host.mapBytes(fd)));
    const { used } = host.memory();
    report.note(`${lives.at(-1)!.name}: ${used} bytes in use after the map was closed`);
    host.dispose();
  }
  if (kernel) lives.push(live("kernel", kernel, memlock));
  report.table({
    title: "HASH with 10,000,000 entries, 8-byte key and value: seconds, and bytes of an element",
    columns: ["", "create", "fill", "iterate (batches)", "delete", "bytes"],
    rows: lives.map((l) => [
      l.name,
      ...[l.create, l.fill, l.iterate, l.remove].map((s) => s.toFixed(2)),
      (l.bytes / TEN_MILLION).toFixed(1),
    ]),
  });
  kernel?.dispose();
}
