/** HASH from 1,000 to 10,000,000 entries: how the cost of an operation grows; and a life of one with 10,000,000. */
import { createEmbeddedHost } from "../src/host/embedded.ts";
import type { Host } from "../src/index.ts";
import * as u from "../src/uapi/index.ts";
import { compileCLoops, type Operation } from "./c_loop.ts";
import { kernelOrNone } from "./hosts.ts";
import { JsMap } from "./js_map.ts";
import { type KeySet, randomKeys } from "./keys.ts";
import { cpuNs, measure } from "./measure.ts";
import { memlock } from "./memory.ts";
import { RawMap } from "./raw_map.ts";
import type { Report } from "./report.ts";
import { sidesOf } from "./sides.ts";

const SIZES = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const TEN_MILLION = 10_000_000;
const MEMORY = 4 * 1024 ** 3;
const ROUNDS = 5;
const elements: readonly Operation[] = ["lookup", "update", "delete+insert"];
/** Once over 10,000,000 takes seconds: `ten-million` does that. */
const whole: readonly Operation[] = ["iterate", "batch lookup"];

export function benchSizes(report: Report): void {
  const say = (line: string): void => report.note(line);
  const kernel = kernelOrNone(say);
  const c = kernel && compileCLoops(say);
  try {
    for (const entries of SIZES) {
      const keys = randomKeys(entries, 1);
      const shape = { type: u.BPF_MAP_TYPE_HASH, valueSize: 8, maxEntries: entries, flags: 0 };
      const hosts = [false, true].map((shared) => createEmbeddedHost({ seed: 1, shared, memory: MEMORY / 2 }));
      const raw = hosts.map(
        (host, i) => new RawMap(i === 0 ? "embedded, exclusive" : "embedded, shared", host, shape, keys, false),
      );
      const map = kernel && new RawMap("kernel, raw", kernel, shape, keys, false);
      const sides = { js: [new JsMap("number", keys)], raw, kernel: map, c };
      for (const operation of entries === TEN_MILLION ? elements : [...elements, ...whole]) {
        const rows = measure(sidesOf(sides, operation, keys), ROUNDS);
        report.measured("HASH, 4-byte key, 8-byte value", `${operation}, ${entries} entries`, rows);
      }
      map?.close();
      for (const host of hosts) host.dispose();
    }
  } finally {
    c?.close();
    kernel?.dispose();
  }
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
  return cpuNs(run) / 1e9;
}

/** Created, filled, iterated and emptied in batches, and closed; what iteration and deletion find is counted. */
function live(name: string, host: Host, keys: KeySet, bytesOf: (fd: number) => number): Life {
  const shape = { type: u.BPF_MAP_TYPE_HASH, valueSize: 8, maxEntries: TEN_MILLION, flags: 0 };
  let map: RawMap | undefined;
  const create = seconds(() => {
    map = new RawMap(name, host, shape, { ...keys, count: 0 }, false);
  });
  if (map === undefined) throw new Error(`${name}: no map`);
  const own = map;
  const fill = seconds(() => own.updateAll(keys));
  let found = 0;
  const iterate = seconds(() => {
    found = own.countInBatches();
  });
  const bytes = bytesOf(own.fd);
  const remove = seconds(() => own.deleteAll(keys));
  const left = own.countInBatches();
  if (found !== TEN_MILLION || left !== 0) throw new Error(`${name}: found ${found} elements, ${left} after deletion`);
  own.close();
  return { name, create, fill, iterate, remove, bytes };
}

export function benchTenMillion(report: Report): void {
  const kernel = kernelOrNone((line) => report.note(line));
  const keys = randomKeys(TEN_MILLION, 2);
  const lives: Life[] = [];
  for (const shared of [false, true]) {
    const host = createEmbeddedHost({ seed: 1, shared, memory: MEMORY });
    const name = shared ? "embedded, shared" : "embedded, exclusive";
    report.progress(name);
    lives.push(live(name, host, keys, (fd) => host.mapBytes(fd)));
    report.note(`${name}: ${host.memory().used} bytes in use after the map was closed`);
    host.dispose();
  }
  if (kernel) {
    report.progress("kernel");
    lives.push(live("kernel", kernel, keys, memlock));
    kernel.dispose();
  }
  report.table({
    title: "HASH with 10,000,000 entries, 8-byte key and value: seconds of CPU time, and bytes of an element",
    columns: ["", "create", "fill", "iterate", "delete", "bytes"],
    rows: lives.map((l) => [
      l.name,
      ...[l.create, l.fill, l.iterate, l.remove].map((s) => s.toFixed(2)),
      (l.bytes / TEN_MILLION).toFixed(1),
    ]),
  });
}
