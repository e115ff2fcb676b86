/**
 * Opening a run as one was opened before: from what that one's memory was like when it began, one function of WebAssembly
 * does what the look at the fd, `acquireRun` and the setting up did then, in a fraction of the time. Where anything is
 * not as it was, or somebody else is there, it does nothing.
 */
import { OBJ_ID, OBJ_KIND, OBJ_PROG, OBJ_REFS } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { emitUnlock } from "../struct/emit.ts";
import { Code, I32 } from "../wasm/code.ts";
import { IMPORTS, MEMORY, ModuleBuilder, type Signature } from "../wasm/module.ts";
import * as w from "../wasm/opcodes.ts";
import { CPU_LEVELS, CPU_LOCK, cpuEntry } from "./cpus.ts";
import { MODE_MASK, PROCESS_CAPACITY, PROCESS_LOCK, PROCESS_TABLE } from "./fds.ts";
import type { Kernel } from "./kernel.ts";
import { RUN_CURRENT, RUN_IMAGE, RUN_PROG } from "./run_record.ts";

/** Memory of a run, a multiple of 8 long, from a multiple of 8 on. */
export interface Piece {
  readonly address: number;
  readonly bytes: number;
}

/**
 * 1: the program that has this address and id is behind the fd, is held on a shared host, and runs on the CPU from now on,
 * as after `acquireRun` but for what the client keeps for itself (`kernel.run`). `end` is stored where the packet's end is.
 * 0: nothing has changed.
 */
export type Reopen = (fd: number, prog: number, id: number, end: number) => number;

const SIGNATURE: Signature = { params: [I32, I32, I32, I32], results: [I32] };
const [FD, PROG, ID, END] = [0, 1, 2, 3];
const REOPEN = "reopen";
const WORD = 8;

/**
 * Opens runs like `run`, which has just begun, is the only one on its CPU, and holds nothing. `pieces`: what else of its
 * memory has to be as it is now; `ends`: addresses where the packet's end stands.
 */
export function reopener(kernel: Kernel, run: number, pieces: readonly Piece[], ends: readonly number[]): Reopen {
  const { mem } = kernel;
  const module = new ModuleBuilder();
  const reopen = module.declare(SIGNATURE);
  module.define(reopen, codeOf(kernel, run, [{ address: run, bytes: RUN_IMAGE }, ...pieces], ends));
  module.exportFunction(REOPEN, reopen);
  const compiled = new WebAssembly.Module(module.bytes(mem.sharedPages));
  const instance = new WebAssembly.Instance(compiled, { [IMPORTS]: { [MEMORY]: mem.wasm } });
  return instance.exports[REOPEN] as Reopen;
}

function codeOf(kernel: Kernel, run: number, pieces: readonly Piece[], ends: readonly number[]): Code {
  const { mem, process, cpu } = kernel;
  const entry = cpuEntry(mem, cpu);
  const code = new Code(SIGNATURE.params.length);
  const locked = code.open();
  const refused = code.open();
  tryLock(code, mem, process + PROCESS_LOCK, locked);
  leaveUnlessProgram(code, process, refused);
  tryLock(code, mem, entry + CPU_LOCK, refused);
  if (mem.shared) {
    code.get(PROG);
    code.i32(1);
    code.atomic(w.ATOMIC_ADD, 4, OBJ_REFS);
    code.op(w.DROP);
  } else {
    // Of a run inside a run.
    loadAt(code, entry + CPU_LEVELS);
    code.br(refused, true);
  }
  emitUnlock(code, mem, process + PROCESS_LOCK);
  for (const { address, bytes } of pieces) {
    for (let at = address; at < address + bytes; at += WORD) {
      code.i32(0);
      code.i64(mem.u32[at >>> 2]!, mem.u32[(at >>> 2) + 1]!);
      code.memory(w.I64_STORE, at);
    }
  }
  for (const field of [RUN_PROG, RUN_CURRENT]) storeAt(code, run + field, () => code.get(PROG));
  for (const address of ends) storeAt(code, address, () => code.get(END));
  // As in `acquireRun`: what is taken over from a dead client is what counts.
  storeAt(code, entry + CPU_LEVELS, () => code.i32(1));
  code.i32(1);
  code.op(w.RETURN);
  code.end();
  emitUnlock(code, mem, process + PROCESS_LOCK);
  code.end();
  code.i32(0);
  return code;
}

function loadAt(code: Code, address: number): void {
  code.i32(0);
  code.memory(w.I32_LOAD, address);
}

function storeAt(code: Code, address: number, value: () => void): void {
  code.i32(0);
  value();
  code.memory(w.I32_STORE, address);
}

/** Leaves where somebody has the lock, dead or alive. */
function tryLock(code: Code, mem: Memory, address: number, leave: number): void {
  if (!mem.shared) return;
  code.i32(address);
  code.i32(0);
  code.i32(mem.owner);
  code.atomic(w.ATOMIC_CMPXCHG, 4);
  code.br(leave, true);
}

function leaveUnlessProgram(code: Code, process: number, leave: number): void {
  const leaveIf = (compare: number): void => {
    code.op(compare);
    code.br(leave, true);
  };
  code.get(FD);
  loadAt(code, process + PROCESS_CAPACITY);
  leaveIf(w.I32_GE_U);
  loadAt(code, process + PROCESS_TABLE);
  code.get(FD);
  code.i32(2);
  code.op(w.I32_SHL, w.I32_ADD);
  code.memory(w.I32_LOAD);
  code.i32(~MODE_MASK);
  code.op(w.I32_AND);
  code.get(PROG);
  leaveIf(w.I32_NE);
  code.get(PROG);
  code.memory(w.I32_LOAD, OBJ_KIND);
  code.i32(OBJ_PROG);
  leaveIf(w.I32_NE);
  code.get(PROG);
  code.memory(w.I32_LOAD, OBJ_ID);
  code.get(ID);
  leaveIf(w.I32_NE);
}
