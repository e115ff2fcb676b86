/** The maps of a random sequence on one host, and the making of each kind of call. */
import type { Host } from "../../../src/host/host.ts";
import * as u from "../../../src/uapi/index.ts";
import { btfBytes } from "../btf_types.ts";
import { makeBatch, makeElement } from "./calls_element.ts";
import { consumeRing, mapMemory, run, touchMapped, unmapMemory } from "./calls_memory.ts";
import { create, getInfo, getNextId, openById, tryCreate } from "./calls_object.ts";
import { getPinned, pin, rename, unlink, unpinAll } from "./calls_pin.ts";
import { type HeldObject, makeObject, OBJECTS } from "./objects.ts";
import type { RandomOp } from "./op.ts";
import type { TypePlan } from "./plans.ts";
import { closeRing, type Ring } from "./ring.ts";
import type { Side } from "./side.ts";

/** No process here opens so many. */
export const NOT_OPEN = 4000;
/** What fds are compared as. */
export const FD = 0xfd00;
/** What ids of objects in values are compared as. */
const OBJECT_ID = 0x0b00_0000;
/** `fd` of a call that is made through an fd of the comparison's own: see `beginWalk`. */
export const WALK_FD = -1;
/** Result of a call that could not be made. */
const THREW = -9999;

export interface Mapping {
  readonly bytes: Uint8Array;
  readonly prot: number;
}

/** A map, and what was opened and mapped of it. */
export interface Slot {
  readonly id: number;
  readonly keySize: number;
  readonly valueSize: number;
  /** Of a value in bpf(2). */
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly fds: number[];
  /** The key that GET_NEXT_KEY gave last. */
  readonly last: Uint8Array;
  readonly cursor: Uint8Array;
  hasCursor: boolean;
  readonly mappings: (Mapping | undefined)[];
  /** Programs by what they call. They hold the map until another takes its slot. */
  readonly programs: Map<string, number>;
  walkFd: number;
  /** Where the first mapping was. */
  mappedAt: bigint | undefined;
  ring: Ring | undefined;
}

interface Btf {
  readonly fd: number;
  readonly id: number;
}

export class World {
  readonly side: Side;
  readonly plan: TypePlan;
  readonly slots: (Slot | undefined)[] = [];
  /** Ids of the maps that are pinned, by name. */
  readonly pins: Map<string, number> = new Map();
  readonly #objects: (HeldObject | undefined)[] = [];
  #btf: Btf | undefined;

  constructor(side: Side, plan: TypePlan) {
    this.side = side;
    this.plan = plan;
  }

  /** Makes the call; its answer is in the side. */
  run(op: RandomOp): void {
    const { side } = this;
    side.thrown = undefined;
    try {
      this.#call(op);
    } catch (error) {
      side.plain(THREW);
      side.thrown = error instanceof Error ? error.message : String(error);
    }
  }

  #call(op: RandomOp): void {
    const { side } = this;
    switch (op.op) {
      case "element":
        makeElement(this, op);
        break;
      case "batch":
        makeBatch(this, op);
        break;
      case "create":
        create(this, op);
        break;
      case "try":
        tryCreate(this, op);
        break;
      case "freeze":
        side.begin(u.bpf_attr.elem.map_fd.size, op);
        this.putFd(u.bpf_attr.elem.map_fd.offset, op.slot, op.fd);
        side.call(u.BPF_MAP_FREEZE, op);
        break;
      case "close":
        side.plain(side.host.close(this.slots[op.slot]?.fds.splice(op.fd, 1)[0] ?? NOT_OPEN));
        break;
      case "drop": {
        let ret = 0;
        for (const fd of this.slots[op.slot]?.fds.splice(0) ?? []) ret |= side.host.close(fd);
        side.plain(ret);
        break;
      }
      case "open":
        openById(this, op);
        break;
      case "next_id":
        getNextId(this, op);
        break;
      case "info":
        getInfo(this, op);
        break;
      case "poll": {
        const ready = side.host.poll([this.fd(op.slot, op.fd)], 0);
        side.plain(typeof ready === "number" ? ready : ready.length);
        break;
      }
      case "mmap":
        mapMemory(this, op);
        break;
      case "munmap":
        unmapMemory(this, op);
        break;
      case "read":
      case "store":
        touchMapped(this, op);
        break;
      case "pin":
        pin(this, op);
        break;
      case "get":
        getPinned(this, op);
        break;
      case "unlink":
        unlink(this, op);
        break;
      case "rename":
        rename(this, op);
        break;
      case "consume":
        consumeRing(this, op);
        break;
      case "run":
        run(this, op);
        break;
      default: {
        const unknown: never = op;
        throw new Error(`no such call: ${JSON.stringify(unknown)}`);
      }
    }
  }

  /** An fd of the slot's map, or one that nobody has open. */
  fd(slot: number, fd: number): number {
    const map = this.slots[slot];
    if (map === undefined) return NOT_OPEN;
    if (fd === WALK_FD) return map.walkFd;
    return fd >= NOT_OPEN || map.fds.length === 0 ? NOT_OPEN : map.fds[fd % map.fds.length]!;
  }

  /** Puts it into the attributes. */
  putFd(offset: number, slot: number, fd: number): void {
    this.side.local(offset, this.fd(slot, fd), FD + slot);
  }

  /** The BTF of `btf_types.ts`, loaded when it is first used. */
  btf(): Btf {
    this.#btf ??= loadBtf(this.side.host);
    return this.#btf;
  }

  /** The n-th of the objects that the type's maps hold. */
  object(n: number): HeldObject {
    const made = this.#objects[n] ?? makeObject(this.side.host, this.plan.holds!, n);
    this.#objects[n] = made;
    return made;
  }

  /** Puts an fd of an object where a value is. */
  putObject(at: number, n: number): void {
    const which = n % OBJECTS[this.plan.holds!];
    this.side.localAt(at, this.object(which).fd, FD + which);
  }

  /** Ids of objects in `count` values become numbers that mean the same everywhere. */
  nameObjects(at: number, count: number): void {
    const { side } = this;
    for (let i = at; i < at + 4 * count; i += 4) {
      const word = side.word(i);
      const n = this.#objects.findIndex((object) => object?.id === word);
      if (n >= 0) side.setWord(i, OBJECT_ID + n);
    }
  }

  /** Its id, when it was loaded. */
  btfId(): number | undefined {
    return this.#btf?.id;
  }

  /** Whether there is a map in the slot with keys to walk through. */
  hasKeys(slot: number): boolean {
    return (this.slots[slot]?.keySize ?? 0) > 0;
  }

  /** An fd that may read, for a walk through all keys; `endWalk` closes it. */
  beginWalk(slot: number): void {
    const { host } = this.side;
    const map = this.slots[slot]!;
    map.walkFd = host.bpf(u.BPF_MAP_GET_FD_BY_ID, { map_id: map.id, open_flags: 0 });
    this.side.plain(Math.min(map.walkFd, 0));
  }

  endWalk(slot: number): void {
    const map = this.slots[slot]!;
    if (map.walkFd >= 0) this.side.host.close(map.walkFd);
    map.walkFd = -1;
  }

  /** Closes all that there is of a slot. */
  empty(at: number): void {
    const map = this.slots[at];
    if (map === undefined) return;
    const { host } = this.side;
    for (const mapping of map.mappings) if (mapping !== undefined) host.munmap(mapping.bytes);
    if (map.ring !== undefined) closeRing(host, map.ring);
    for (const fd of map.fds) host.close(fd);
    for (const fd of map.programs.values()) host.close(fd);
    this.slots[at] = undefined;
  }

  /** Closes everything that the sequence opened. */
  end(): void {
    unpinAll(this);
    for (const at of this.slots.keys()) this.empty(at);
    for (const object of this.#objects) if (object !== undefined) this.side.host.close(object.fd);
    this.#objects.length = 0;
    if (this.#btf !== undefined) this.side.host.close(this.#btf.fd);
    this.#btf = undefined;
  }
}

function loadBtf(host: Host): Btf {
  const fd = host.bpf(u.BPF_BTF_LOAD, { btf: btfBytes, btf_size: btfBytes.length });
  if (fd < 0) throw new Error(`BTF_LOAD: ${fd}`);
  const record = new Uint8Array(u.bpf_btf_info.size);
  host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: record.length, info: record });
  return { fd, id: new DataView(record.buffer).getUint32(u.bpf_btf_info.fields.id.offset, true) };
}
