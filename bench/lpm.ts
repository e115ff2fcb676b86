/** LPM tries with routing tables: answers and order compared with the kernel's. */
import { createEmbeddedHost } from "../src/host/embedded.ts";
import type { Host } from "../src/index.ts";
import * as u from "../src/uapi/index.ts";
import { kernelOrNone } from "./hosts.ts";
import { RawMap } from "./raw_map.ts";
import type { Report } from "./report.ts";
import { type Family, type RouteTable, routeTable } from "./routes.ts";

const LOOKUPS = 200_000;
/** Of 100 addresses that are looked up, these lie under a route. */
const HITS = 90;
const tables: readonly (readonly [Family, number])[] = [
  ["IPv4", 100_000],
  ["IPv6", 50_000],
];
const EXCLUSIVE = "embedded, exclusive";
const SHARED = "embedded, shared";
const KERNEL = "kernel";

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

export function benchLpm(report: Report): void {
  const kernel = kernelOrNone((line) => report.note(line));
  if (kernel === undefined) return;
  for (const [family, count] of tables) {
    const table = routeTable(family, count);
    const map = new RawMap(KERNEL, kernel, shape, table.routes, false);
    for (const shared of [false, true]) {
      const host = createEmbeddedHost({ shared, seed: 1, memory: 256 << 20 });
      compare(report, table, shared ? SHARED : EXCLUSIVE, map, host);
      host.dispose();
    }
    map.close();
  }
  kernel.dispose();
}
