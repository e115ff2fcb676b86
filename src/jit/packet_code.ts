/** What whole runs of programs do around a packet, kind by kind: `whole_run.ts` does the rest. */
import type { Kernel } from "../kern/kernel.ts";
import type { Code } from "../wasm/code.ts";
import type { Exit, Local32 } from "../wasm/expr.ts";

/** Memory, a multiple of 8 bytes. */
export type Region = readonly [address: number, bytes: number];

/** Code that brings packets to where programs of one kind find them, in runs on one CPU, and says what is left of them. */
export interface PacketCode {
  /** Where the bytes go. */
  readonly place: number;
  /** Beside the record: what a run finds as the first one did, put back when another kind of run was there in between. */
  readonly once: readonly Region[];
  /** The same, put back for each run. */
  readonly always: readonly Region[];
  /** Leaves for packets that the command refuses. Their bytes are at `from`. */
  refuse(from: Local32, length: Local32, refused: Exit): void;
  /** Says to program and helpers where the packet is. Its bytes are in their place, and so is all that is put back. */
  open(length: Local32): void;
  /** Where the packet is afterwards and how long. Does `leaveOpen`, which leaves, where that takes more than can be done here. */
  close(leaveOpen: () => void): { readonly from: Local32; readonly length: Local32 };
}

/** `run` has just begun on an empty packet. */
export type PacketKind = (kernel: Kernel, run: number, code: Code) => PacketCode;
