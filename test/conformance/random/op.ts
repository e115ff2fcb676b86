/**
 * One call of a random sequence, as data. Keys and values are numbers that `bytes.ts` makes bytes of, fds and ids are
 * named by slot and place, so that a record means the same on every host and whatever was left out before it.
 */
import type { BTF_KINDS } from "./bytes.ts";

/** Numbers in place of a key or value that are no bytes: NULL, and addresses where nobody's memory is. */
export const NULL = -1;
export const BAD = -2;
export const BAD_HIGH = -3;
/** The key that GET_NEXT_KEY gave last. */
export const LAST = -4;

/** What is unusual about the attributes. */
export interface Twist {
  /** How many of their bytes count. */
  readonly size?: number;
  /** A byte that is set: beyond the command's fields, or in one that is no pointer, fd or count. */
  readonly at?: number;
  readonly byte?: number;
  /** They and all buffers lie on odd addresses. */
  readonly skew?: true;
}

/** Which map: the slot, and which of its fds. */
interface OfMap extends Twist {
  readonly slot: number;
  readonly fd: number;
}

export type ElementCommand = "update" | "lookup" | "take" | "delete" | "next";
export type BatchCommand = "lookup" | "take" | "update" | "delete";
/** What a program does with the map, once a run. */
export type ProgramCall = "lookup" | "update" | "delete" | "push" | "pop" | "peek" | "output";

/** MAP_CREATE by the kernel's names. */
/** `inner_map`: which of the world's objects is the template. */
export interface RandomAttr {
  readonly [field: string]: number | string | BtfUse | undefined;
  readonly btf?: BtfUse;
}
export interface BtfUse {
  readonly key: (typeof BTF_KINDS)[number];
  readonly value: (typeof BTF_KINDS)[number];
}

export interface ElementOp extends OfMap {
  readonly op: "element";
  readonly command: ElementCommand;
  readonly key: number;
  /** What is given. Where the command writes: 0, or an address of nobody. */
  readonly value: number;
  readonly flags: number;
}

export interface BatchOp extends OfMap {
  readonly op: "batch";
  readonly command: BatchCommand;
  /** Where to go on: the beginning, where the slot's last batch command ended, or a number that is made a cursor. */
  readonly from: "start" | "last" | number;
  readonly count: number;
  /** Given ones, for update and delete. */
  readonly keys: readonly number[];
  readonly elemFlags: number;
  readonly flags: number;
  readonly bad?: "in_batch" | "out_batch" | "keys" | "values";
}

export interface MmapOp extends OfMap {
  readonly op: "mmap";
  readonly offset: number;
  readonly length: number;
  readonly prot: number;
  /** Which of the slot's mappings it becomes; the one before is unmapped. */
  readonly place: number;
  /** Asks for the address that the slot's first mapping had. */
  readonly again?: true;
}

/** Names of pins: good ones, one without its directory, one that no pin may have. */
export const PIN_NAMES = ["a", "b", "c", "d", "e", "none/a", "x.y"] as const;

export type PinOp =
  | ({ readonly op: "pin"; readonly name: number; readonly flags: number } & OfMap)
  /** The fd becomes one of the slot's when it is of its map. */
  | ({ readonly op: "get"; readonly name: number; readonly slot: number; readonly flags: number } & Twist)
  | { readonly op: "unlink"; readonly name: number }
  | { readonly op: "rename"; readonly name: number; readonly to: number };

export interface RunOp extends OfMap {
  readonly op: "run";
  readonly call: ProgramCall;
  readonly key: number;
  readonly value: number;
  readonly flags: number;
}

export type RandomOp =
  /** A map with these attributes takes the slot; what was there is closed. */
  | ({ readonly op: "create"; readonly slot: number; readonly attr: RandomAttr } & Twist)
  /** Attributes that may be wrong: the map, if there is one, goes at once. */
  | ({ readonly op: "try"; readonly attr: RandomAttr } & Twist)
  | ElementOp
  | BatchOp
  | ({ readonly op: "freeze" | "poll" } & OfMap)
  /** 4000: an fd that nobody has open. */
  | { readonly op: "close"; readonly slot: number; readonly fd: number }
  /** All fds of the slot. Mappings and programs keep the map. */
  | { readonly op: "drop"; readonly slot: number }
  /** Another fd by the map's id, to which `add` is added. */
  | ({ readonly op: "open"; readonly slot: number; readonly flags: number; readonly add: number } & Twist)
  /** The next of this sequence's maps after the slot's id, to which `add` is added. */
  | ({ readonly op: "next_id"; readonly slot: number; readonly add: number } & Twist)
  /** `dirty`: a byte of the buffer that is not zero. */
  /** `hash`: asks for the hash of the contents. */
  | ({ readonly op: "info"; readonly length: number; readonly dirty: number; readonly hash?: true } & OfMap)
  | MmapOp
  | { readonly op: "munmap"; readonly slot: number; readonly place: number }
  /** Reads or writes bytes of a mapping. */
  | {
      readonly op: "read" | "store";
      readonly slot: number;
      readonly place: number;
      readonly offset: number;
      readonly value: number;
    }
  /** Reads records of a ring as libbpf does, so many at most, and moves the consumer on. */
  | { readonly op: "consume"; readonly slot: number; readonly most: number }
  | PinOp
  | RunOp;

export type OpKind = RandomOp["op"];
