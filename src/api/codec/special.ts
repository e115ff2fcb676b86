/**
 * Special fields of map values: the kernel finds them in a map's BTF by the names of their types. Commands see zeros
 * there, whatever programs have put in, and what they write goes nowhere: in a struct they are no part of the value.
 */
import type { PadCodec } from "./bytes.ts";
import { makeCodec } from "./codec.ts";

function special(name: string, size: number, align: number): PadCodec {
  const codec = makeCodec<undefined>({
    kind: name,
    layout: { kind: "pad", size, align, special: name },
    read: () => undefined,
    write: (to, offset) => {
      to.bytes.fill(0, offset, offset + size);
    },
  });
  return Object.assign(codec, { padding: true as const });
}

/**
 * `struct bpf_spin_lock` (4 bytes; since Linux 5.1), one in a value of a hash or array: BPF_F_LOCK, `{ lock: true }` of
 * `get` and `set`, reads and writes whole values under it.
 *
 *     const Counter = struct({ lock: spinLock, packets: u64, bytes: u64 });
 *     const counters = host.createMap({ type: "hash", name: "counters", key: u32, value: Counter, maxEntries: 64 });
 *     counters.set(1, { packets: 1n, bytes: 60n }, { lock: true });
 */
export const spinLock: PadCodec = special("bpf_spin_lock", 4, 4);
/** `struct bpf_res_spin_lock` (4 bytes; since Linux 6.15), for programs only: BPF_F_LOCK does not take it. */
export const resSpinLock: PadCodec = special("bpf_res_spin_lock", 4, 4);
/** `struct bpf_timer` (16 bytes; since Linux 5.15), in values of hash, lru_hash and array maps. */
export const timer: PadCodec = special("bpf_timer", 16, 8);
/** `struct bpf_wq` (16 bytes; since Linux 6.10), a work queue, where timers may be. */
export const workqueue: PadCodec = special("bpf_wq", 16, 8);
/** `struct bpf_task_work` (8 bytes; since Linux 6.18), where timers may be. */
export const taskWork: PadCodec = special("bpf_task_work", 8, 8);
/** `struct bpf_refcount` (4 bytes; since Linux 6.4), in values of any hash or array type. */
export const refcount: PadCodec = special("bpf_refcount", 4, 4);
