/** What maps hold: as bytes, to be compared between hosts, and as values, to be compared with what a case expects. */
import { dumpMap, type RawEntry } from "../../src/cli/map_dump.ts";
import { type AnyMap, type BpfHost, type LoadedObject, PerCpu } from "../../src/index.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function text({ key, value }: RawEntry): string {
  const values = value instanceof Uint8Array ? hex(value) : value.map(hex).join(" | ");
  return key === undefined ? values : `${hex(key)}: ${values}`;
}

/** Types whose order of elements says nothing: hash seeds differ from map to map. */
const unordered: ReadonlySet<string> = new Set(["hash", "lru_hash", "percpu_hash", "lru_percpu_hash"]);

function pages(host: BpfHost, map: Extract<AnyMap, { type: "arena" }>): string[] {
  const mapped = map.mmap({ access: "ro" });
  const at = (page: number): Uint8Array => mapped.bytes.subarray(page * host.pageSize, (page + 1) * host.pageSize);
  const lines = Array.from({ length: map.maxEntries }, (_, page) => hex(at(page)));
  mapped.close();
  return lines;
}

/** What the inner maps hold, each line with the outer key in front. */
function innerContents(host: BpfHost, { key, value }: RawEntry): string[] {
  const id = new DataView((value as Uint8Array).buffer).getUint32(0, true);
  const inner = host.openMap({ id });
  const lines = rawContents(host, inner).map((line) => `${hex(key!)}: ${line}`);
  inner.close();
  return [`${hex(key!)}: ${inner.type}`, ...lines];
}

/**
 * Everything that can be read of a map, a line an element. Of programs in a map only where they are, of maps in a map what
 * they hold. Rings are emptied by it.
 */
export function rawContents(host: BpfHost, map: AnyMap): readonly string[] {
  if (map.type === "arena") return pages(host, map);
  const entries = dumpMap(host, map);
  if (map.type === "prog_array") return entries.map(({ key }) => hex(key!));
  if (map.type === "array_of_maps" || map.type === "hash_of_maps") {
    const all = entries.toSorted((a, b) => (hex(a.key!) < hex(b.key!) ? -1 : 1));
    return all.flatMap((entry) => innerContents(host, entry));
  }
  const lines = entries.map(text);
  return unordered.has(map.type) ? lines.sort() : lines;
}

/** Every map of an object, without those that `skip` names, and with the global variables that it names blanked. */
export function allContents(
  host: BpfHost,
  object: LoadedObject,
  skip: Readonly<Record<string, string>>,
): Record<string, readonly string[]> {
  const all: Record<string, readonly string[]> = {};
  const named = new Set([...object.maps.keys(), ...object.spec.globals.map(({ name }) => name)]);
  for (const name of Object.keys(skip)) if (!named.has(name)) throw new Error(`skip: nothing is called ${name}`);
  for (const [name, map] of object.maps) {
    if (skip[name] !== undefined) continue;
    const blank = object.spec.globals.filter((global) => global.map === name && skip[global.name] !== undefined);
    all[name] = rawContents(host, map).map((line) => {
      let [key, value] = line.split(": ") as [string, string];
      for (const { offset, size } of blank) {
        value = value.slice(0, offset * 2) + "--".repeat(size) + value.slice((offset + size) * 2);
      }
      return blank.length === 0 ? line : `${key}: ${value}`;
    });
  }
  return all;
}

/** A per-CPU value: that of the CPU where programs run. */
const onCpu0 = (value: unknown): unknown => (value instanceof PerCpu ? value.get(0) : value);

/** A map's elements by its types. Queues and rings are emptied by it. */
export function contents(map: AnyMap): unknown[] {
  switch (map.type) {
    case "array":
    case "percpu_array":
      return [...map.values()].map(onCpu0);
    case "hash":
    case "lru_hash":
    case "percpu_hash":
    case "lru_percpu_hash":
    case "lpm_trie":
      return Array.from(map as Iterable<[unknown, unknown]>, ([key, value]) => [key, onCpu0(value)]);
    case "queue":
    case "stack":
      return [...map.drain()];
    case "ringbuf": {
      const records: unknown[] = [];
      map.drain((record) => {
        records.push(record instanceof Uint8Array ? record.slice() : record);
      });
      return records;
    }
    default:
      throw new Error(`a map of type ${map.type} has no contents to expect here: look at it in \`after\``);
  }
}
