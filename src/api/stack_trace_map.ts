/** STACK_TRACE: stacks that programs stored with bpf_get_stackid. */
import {
  BPF_F_STACK_BUILD_ID,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_STACK_BUILD_ID_EMPTY,
  BPF_STACK_BUILD_ID_VALID,
  bpf_stack_build_id,
} from "../uapi/index.ts";
import { BpfMap, type MapStats } from "./bpf_map.ts";
import { nested } from "./codec/error.ts";
import { type CodecBuffer, u32 } from "./codec/index.ts";
import type { MapHandle } from "./map_handle.ts";
import { NextKeySource } from "./next_key_walk.ts";
import { countOf, Walk, type WalkSource } from "./walk.ts";

/** One function of a stack. */
export interface StackFrame {
  /** Where it goes on; with a build id the offset in the file. */
  readonly ip: bigint;
  /** Of the file that it lies in, 20 bytes; undefined: not known, or the map does not ask for it. */
  readonly buildId: Uint8Array | undefined;
}

const IP_SIZE = 8;
const { fields, size: BUILD_ID_SIZE } = bpf_stack_build_id;

/**
 * BPF_MAP_TYPE_STACK_TRACE: stacks by id, innermost function first. Programs fill it (bpf_get_stackid); ids are what they
 * got from there. Since Linux 4.6; with build ids 4.17; `take` 6.18 (EINVAL or ENOTSUPP before).
 *
 *     const stacks = host.createMap({ type: "stack_trace", depth: 32, maxEntries: 1024 });
 *     for (const [id, count] of counts) show(stacks.get(id), count);
 */
export class StackTraceMap extends BpfMap implements Iterable<[number, StackFrame[]]> {
  readonly type = "stack_trace" as const;

  /** @internal */
  constructor(handle: MapHandle) {
    super(handle);
  }

  /** Most functions of a stack. */
  get depth(): number {
    const { valueSize } = this.handle.info;
    return valueSize / (this.#buildIds ? BUILD_ID_SIZE : IP_SIZE);
  }

  get #buildIds(): boolean {
    return (this.handle.info.flags & BPF_F_STACK_BUILD_ID) !== 0;
  }

  #putId(id: number): void {
    try {
      u32.write(this.handle.key, 0, id);
    } catch (error) {
      throw nested(error, "id");
    }
  }

  /** The stack with this id; undefined where there is none. */
  get(id: number): StackFrame[] | undefined {
    const { handle } = this;
    this.#putId(id);
    return handle.found(BPF_MAP_LOOKUP_ELEM, handle.lookup(), { key: id }) ? this.#read(handle.value, 0) : undefined;
  }

  /** As `get`, and the stack is gone. */
  take(id: number): StackFrame[] | undefined {
    const { handle } = this;
    this.#putId(id);
    const found = handle.found(BPF_MAP_LOOKUP_AND_DELETE_ELEM, handle.take(), { key: id });
    return found ? this.#read(handle.value, 0) : undefined;
  }

  has(id: number): boolean {
    return this.get(id) !== undefined;
  }

  /** Whether there was such a stack. An id that no stack of this map can have: `BpfError` E2BIG. */
  delete(id: number): boolean {
    const { handle } = this;
    this.#putId(id);
    return handle.found(BPF_MAP_DELETE_ELEM, handle.delete(), { key: id });
  }

  #read({ view, bytes }: CodecBuffer, at: number): StackFrame[] {
    const frames: StackFrame[] = [];
    if (!this.#buildIds) {
      for (let i = 0; i < this.depth; i++) {
        const ip = view.getBigUint64(at + i * IP_SIZE, true);
        if (ip === 0n) break;
        frames.push({ ip, buildId: undefined });
      }
      return frames;
    }
    for (let i = 0; i < this.depth; i++) {
      const frame = at + i * BUILD_ID_SIZE;
      const status = view.getInt32(frame + fields.status.offset, true);
      if (status === BPF_STACK_BUILD_ID_EMPTY) break;
      const id = frame + fields.build_id.offset;
      const buildId = status === BPF_STACK_BUILD_ID_VALID ? bytes.slice(id, id + fields.build_id.size) : undefined;
      frames.push({ ip: view.getBigUint64(frame + fields.ip.offset, true), buildId });
    }
    return frames;
  }

  #source(): WalkSource {
    return new NextKeySource(this.handle);
  }

  /** Ids, ascending, with their stacks. */
  entries(): Walk<[number, StackFrame[]]> {
    return new Walk(this.#source(), (s) => [u32.read(s.keys, s.keyAt), this.#read(s.values, s.valueAt)]);
  }

  keys(): Walk<number> {
    return new Walk(this.#source(), (s) => u32.read(s.keys, s.keyAt));
  }

  [Symbol.iterator](): Walk<[number, StackFrame[]]> {
    return this.entries();
  }

  override stats(): MapStats<number> {
    return super.stats() as MapStats<number>;
  }

  /** @internal */
  protected override countByHand(): Pick<MapStats<number>, "entries" | "exact"> {
    return { entries: countOf(this.#source()), exact: false };
  }
}
