/** What runs and batches of programs do around a packet, kind by kind. For `whole_run.ts` and `batch_loop.ts`. */
import type { Kernel } from "../kern/kernel.ts";
import type { Memory } from "../mem/memory.ts";
import type { Code } from "../wasm/code.ts";
import type { Exit, Local32 } from "../wasm/expr.ts";
import * as w from "../wasm/opcodes.ts";

/** Memory, a multiple of 8 bytes. */
export type Region = readonly [address: number, bytes: number];

const WORD = 8;

/** Code that brings packets to where programs of one kind find them, in runs on one record, and says what is left of them. */
export interface PacketCode {
  /** Where the bytes go. */
  readonly place: number;
  /** Beside the record: what a run finds as the first one did, put back when another kind of run was there in between. */
  readonly once: readonly Region[];
  /** Leaves for packets that the command refuses. Their bytes are at `from`. */
  refuse(from: Local32, length: Local32, refused: Exit): void;
  /** Puts back what the run before may have changed. */
  renew(): void;
  /** Says to program and helpers where the packet is, whose bytes are in their place. */
  open(length: Local32): void;
  /** Does `leave`, which leaves, for a packet that cannot be given back here. */
  close(leave: () => void): void;
  /** Where the packet is then, and how long. */
  after(): { readonly from: Local32; readonly length: Local32 };
}

/** Stores what the memory is like now. */
export function emitPutBack({ u32 }: Memory, code: Code, [address, bytes]: Region): void {
  for (let word = address; word < address + bytes; word += WORD) {
    code.i32(0);
    code.i64(u32[word >>> 2]!, u32[(word >>> 2) + 1]!);
    code.memory(w.I64_STORE, word);
  }
}

/** What runs and batches have to know of packets beside. */
export interface Packets {
  readonly code: PacketKind;
  /** Of packets that lie in one piece. */
  readonly longest: number;
}

/** `run` has just begun, on a packet of which nothing is known yet. */
export type PacketKind = (kernel: Kernel, run: number, code: Code) => PacketCode;
