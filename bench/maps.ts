/** How long do lookup and update of HASH and ARRAY take from user space: embedded, the kernel, and a JS `Map`? */
import { createEmbeddedHost } from "../src/host/embedded.ts";
import { type Host, HostUnavailable } from "../src/host/host.ts";
import { openKernelHost } from "../src/host/kernel.ts";
import {
  BPF_MAP_CREATE,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_UPDATE_ELEM,
} from "../src/uapi/index.ts";
import { keySequence, measure, printRows, type Side } from "./measure.ts";

const ENTRIES = 100_000;
const WORKING_SETS = [1_000, ENTRIES];
const OPERATIONS = 300_000;
const ATTR_SIZE = 32;

interface MapSides {
  readonly lookup: (keys: Uint32Array) => Side;
  readonly update: (keys: Uint32Array) => Side;
}

/** One map on a host, worked on with one prebuilt attribute and the caller's buffers in user memory. */
function rawMap(name: string, host: Host, type: number, all: Uint32Array): MapSides {
  const fd = host.bpf(BPF_MAP_CREATE, { map_type: type, key_size: 4, value_size: 8, max_entries: ENTRIES });
  if (fd < 0) throw new Error(`${name}: MAP_CREATE gave ${fd}`);
  const attr = host.user.alloc(ATTR_SIZE);
  const data = host.user.alloc(16);
  const words = new DataView(attr.bytes.buffer, attr.bytes.byteOffset, ATTR_SIZE);
  words.setUint32(0, fd, true);
  words.setBigUint64(8, data.address, true);
  words.setBigUint64(16, data.address + 8n, true);
  const address = Number(attr.address);
  const view = new Uint32Array(data.bytes.buffer, data.bytes.byteOffset, 4);
  const each = (cmd: number, keys: Uint32Array, count: number): number => {
    let sum = 0;
    for (let i = 0, at = 0; i < count; i++) {
      view[0] = keys[at]!;
      sum += host.bpf(cmd, address, ATTR_SIZE) + view[2]!;
      if (++at === keys.length) at = 0;
    }
    return sum;
  };
  each(BPF_MAP_UPDATE_ELEM, all, all.length);
  return {
    lookup: (keys) => ({ name, run: (count) => each(BPF_MAP_LOOKUP_ELEM, keys, count) }),
    update: (keys) => ({ name, run: (count) => each(BPF_MAP_UPDATE_ELEM, keys, count) }),
  };
}

function jsMap(all: Uint32Array): MapSides {
  const map = new Map<number, number>();
  for (const key of all) map.set(key, key);
  const name = "Map<number, number>";
  return {
    lookup: (keys) => ({
      name,
      run: (count) => {
        let sum = 0;
        for (let i = 0, at = 0; i < count; i++) {
          sum += map.get(keys[at]!)!;
          if (++at === keys.length) at = 0;
        }
        return sum;
      },
    }),
    update: (keys) => ({
      name,
      run: (count) => {
        for (let i = 0, at = 0; i < count; i++) {
          map.set(keys[at]!, i);
          if (++at === keys.length) at = 0;
        }
        return map.size;
      },
    }),
  };
}

function kernelOrNone(): Host | undefined {
  try {
    return openKernelHost();
  } catch (error) {
    if (!(error instanceof HostUnavailable)) throw error;
    console.log(`the kernel's column is missing: ${error.message}`);
    return undefined;
  }
}

export function benchMaps(): void {
  const exclusive = createEmbeddedHost();
  const shared = createEmbeddedHost({ shared: true });
  const kernel = kernelOrNone();
  for (const [name, type, below] of [
    ["HASH", BPF_MAP_TYPE_HASH, 2 ** 32],
    ["ARRAY", BPF_MAP_TYPE_ARRAY, ENTRIES],
  ] as const) {
    const all = keySequence(ENTRIES, below);
    const sides = [
      jsMap(all),
      rawMap("embedded, exclusive", exclusive, type, all),
      rawMap("embedded, shared", shared, type, all),
      ...(kernel ? [rawMap("kernel, bpf(2)", kernel, type, all)] : []),
    ];
    for (const size of WORKING_SETS) {
      const keys = all.subarray(0, size);
      for (const op of ["lookup", "update"] as const) {
        const title = `${name} ${op}, 4-byte key, 8-byte value, ${size} of ${ENTRIES} keys`;
        printRows(
          title,
          measure(
            sides.map((s) => s[op](keys)),
            OPERATIONS,
          ),
        );
      }
    }
  }
  for (const host of [exclusive, shared, kernel]) host?.dispose();
}
