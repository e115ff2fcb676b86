/** All entries of a map as bytes, without changing the map: what `bpfmaps run` prints at the end. */
import type { MapInfo } from "../api/info.ts";
import type { Host } from "../host/host.ts";
import {
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_TYPE_BLOOM_FILTER,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_TYPE_STACK,
  BPF_MAP_UPDATE_ELEM,
  BPF_RINGBUF_BUSY_BIT,
  BPF_RINGBUF_DISCARD_BIT,
  BPF_RINGBUF_HDR_SZ,
  errnoName,
} from "../uapi/index.ts";

/** A map that is open as `fd`. */
export type OpenMap = MapInfo & { readonly fd: number };

export interface RawEntry {
  /** Absent for types without keys. */
  readonly key?: Uint8Array;
  /** One value, or one a CPU. */
  readonly value: Uint8Array | readonly Uint8Array[];
}

const PAGE = 4096;
const PROT_READ = 1;

function check(ret: number, what: string): number {
  if (ret < 0) throw new Error(`${what}: ${errnoName(-ret) ?? ret}`);
  return ret;
}

export function dumpMap(host: Host, map: OpenMap): RawEntry[] {
  switch (map.typeNumber) {
    case BPF_MAP_TYPE_RINGBUF:
      return ringRecords(host, map);
    case BPF_MAP_TYPE_QUEUE:
      return popAll(host, map, false);
    case BPF_MAP_TYPE_STACK:
      return popAll(host, map, true);
    case BPF_MAP_TYPE_BLOOM_FILTER:
      // It can only be asked about a value.
      return [];
    default:
      return keyed(host, map);
  }
}

function keyed(host: Host, map: OpenMap): RawEntry[] {
  const percpu = map.typeNumber === BPF_MAP_TYPE_PERCPU_HASH || map.typeNumber === BPF_MAP_TYPE_PERCPU_ARRAY;
  const stride = Math.ceil(map.valueSize / 8) * 8;
  const value = new Uint8Array(percpu ? stride * host.possibleCpus : map.valueSize);
  const entries: RawEntry[] = [];
  let key: Uint8Array | null = null;
  const next = new Uint8Array(map.keySize);
  while (host.bpf(BPF_MAP_GET_NEXT_KEY, { map_fd: map.fd, key, next_key: next }) === 0) {
    key = next.slice();
    check(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: map.fd, key, value }), "MAP_LOOKUP_ELEM");
    const slots = (): Uint8Array[] =>
      Array.from({ length: host.possibleCpus }, (_, cpu) => value.slice(cpu * stride, cpu * stride + map.valueSize));
    entries.push({ key, value: percpu ? slots() : value.slice() });
  }
  return entries;
}

/** Nothing reads the middle of a queue, so all is taken out, in the order in which it comes, and put back. */
function popAll(host: Host, map: OpenMap, stack: boolean): RawEntry[] {
  const entries: { value: Uint8Array }[] = [];
  const value = new Uint8Array(map.valueSize);
  while (host.bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, { map_fd: map.fd, value }) === 0) {
    entries.push({ value: value.slice() });
  }
  for (const entry of stack ? entries.toReversed() : entries) {
    check(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd: map.fd, value: entry.value }), "MAP_UPDATE_ELEM");
  }
  return entries;
}

/** The records between the consumer's position and the producer's. Nothing is consumed. */
function ringRecords(host: Host, map: OpenMap): RawEntry[] {
  const length = 2 * PAGE + 2 * map.maxEntries;
  const bytes = host.mmap(map.fd, { offset: 0, length, prot: PROT_READ });
  if (typeof bytes === "number") throw new Error(`mmap of the ring: ${errnoName(-bytes) ?? bytes}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const end = Number(view.getBigUint64(PAGE, true));
  const entries: RawEntry[] = [];
  for (let position = Number(view.getBigUint64(0, true)); position < end; ) {
    const at = 2 * PAGE + (position % map.maxEntries);
    const header = view.getUint32(at, true);
    if (header & BPF_RINGBUF_BUSY_BIT) break;
    const size = (header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT)) >>> 0;
    const payload = at + BPF_RINGBUF_HDR_SZ;
    if ((header & BPF_RINGBUF_DISCARD_BIT) === 0) entries.push({ value: bytes.slice(payload, payload + size) });
    position += Math.ceil((size + BPF_RINGBUF_HDR_SZ) / 8) * 8;
  }
  host.munmap(bytes);
  return entries;
}
