/**
 * LPM tries with routing tables: answers and order compared with the kernel's, then the time of a lookup in a program.
 */
import { createEmbeddedHost } from "../src/host/embedded.ts";
import type { Host } from "../src/index.ts";
import * as u from "../src/uapi/index.ts";
import { kernelOrNone } from "./hosts.ts";
import { KernelProgram, lookupOp } from "./kernel_program.ts";
import { firstOf, type KeySet } from "./keys.ts";
import { measure } from "./measure.ts";
import { OpsMap, opsKernel } from "./ops_map.ts";
import { RawMap } from "./raw_map.ts";
import type { Report } from "./report.ts";
import { type Family, type RouteTable, routeTable } from "./routes.ts";

const LOOKUPS = 200_000;
/** Of 100 addresses that are looked up, these lie under a route. */
const HITS = 90;
const SETS = [1_000, 100_000];
const tables: readonly (readonly [Family, number])[] = [
  ["IPv4", 100_000],
  ["IPv6", 50_000],
];
const EXCLUSIVE = "embedded, exclusive";
const SHARED = "embedded, shared";
const KERNEL = "kernel, program";

const shape = { type: u.BPF_MAP_TYPE_LPM_TRIE, valueSize: 4, maxEntries: 200_000, flags: u.BPF_F_NO_PREALLOC };

function order(map: RawMap): string[] {
  const keys: string[] = [];
  map.walk((key) => keys.push(key.join()));
  return keys;
}

function differences(a: ArrayLike<unknown>, b: ArrayLike<unknown>): number {
  let count = Math.abs(a.length - b.length);
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) count++;
  return count;
}

/** The same table on both hosts: answers of lookups, and all keys in order. */
function compare(report: Report, table: RouteTable, name: string, map: RawMap, embedded: Host): void {
  const own = new RawMap(name, embedded, shape, table.routes, false);
  const lookups = table.lookups(LOOKUPS, HITS);
  const answers = own.answers(lookups);
  const found = answers.reduce((sum, answer) => sum + Math.min(1, answer), 0);
  const wrong = differences(answers, map.answers(lookups));
  const misplaced = differences(order(own), order(map));
  own.close();
  report.note(
    `${table.family}, ${name}: ${wrong} of ${LOOKUPS} lookups (${found} found) answered otherwise than by the kernel; ${misplaced} of ${table.routes.count} keys at another place in the order`,
  );
  if (wrong + misplaced > 0) throw new Error(`${table.family}, ${name}: not as the kernel answers`);
}

function speed(report: Report, table: RouteTable, map: RawMap | undefined, keys: KeySet): void {
  const { family, routes } = table;
  const own = [false, true].map((shared) => {
    const kernel = opsKernel(shared, 1);
    const ops = new OpsMap(shared ? SHARED : EXCLUSIVE, kernel, shape, routes.stride * 4);
    ops.fill(routes);
    return ops;
  });
  for (const count of SETS) {
    const some = firstOf(keys, count);
    const program = map && new KernelProgram(KERNEL, map.host, some, lookupOp(map.fd));
    const rows = measure([...(program ? [program] : []), ...own.map((m) => m.lookup(some))]);
    program?.close();
    report.measured(`${family}, ${routes.count} routes`, `lookup of ${count} addresses, again and again`, rows);
    report.judge(`LPM lookup, ${family}, ${count} addresses, against a kernel program`, 0.5, rows, EXCLUSIVE, KERNEL);
  }
}

export function benchLpm(report: Report): void {
  const kernel = kernelOrNone((line) => report.note(line));
  for (const [family, count] of tables) {
    const table = routeTable(family, count);
    const map = kernel && new RawMap(KERNEL, kernel, shape, table.routes, false);
    if (map) {
      for (const shared of [false, true]) {
        const host = createEmbeddedHost({ shared, seed: 1, memory: 256 << 20 });
        compare(report, table, shared ? SHARED : EXCLUSIVE, map, host);
        host.dispose();
      }
    }
    speed(report, table, map, table.lookups(SETS.at(-1)!, HITS));
    map?.close();
  }
  kernel?.dispose();
}
