/**
 * Opening a run as one was opened before: from what that one's memory was like when it began, one function of WebAssembly
 * does what the look at the fd, `acquireRun` and the setting up did then, in a fraction of the time. Where anything is
 * not as it was, or somebody else is there, it does nothing.
 */
import { OBJ_ID, OBJ_KIND, OBJ_PROG, OBJ_REFS } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { emitUnlock } from "../struct/emit.ts";
import { Code, I32 } from "../wasm/code.ts";
import { block, const32, type Exit, type Expr32, Local32 } from "../wasm/expr.ts";
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
  const code = new Code(SIGNATURE.params.length);
  const [fd, prog, id, end] = [0, 1, 2, 3].map((index) => new Local32(code, index)) as [
    Local32,
    Local32,
    Local32,
    Local32,
  ];
  const at = (address: number): Expr32 => const32(code, address);
  const [fds, entry, record] = [at(process), at(cpuEntry(mem, cpu)), at(run)];
  block(code, (locked) => {
    leaveUnlessFree(mem, fds.add(PROCESS_LOCK), locked);
    block(code, (refused) => {
      refused.when(fd.geU(fds.load(PROCESS_CAPACITY)));
      const object = fds.load(PROCESS_TABLE).add(fd.shl(2)).load().and(~MODE_MASK);
      refused.when(object.ne(prog));
      refused.when(prog.load(OBJ_KIND).ne(OBJ_PROG));
      refused.when(prog.load(OBJ_ID).ne(id));
      leaveUnlessFree(mem, entry.add(CPU_LOCK), refused);
      if (mem.shared) {
        prog.atomic(w.ATOMIC_ADD, OBJ_REFS, 1).push();
        code.op(w.DROP);
      } else {
        // Of a run inside a run.
        refused.when(entry.load(CPU_LEVELS));
      }
      emitUnlock(mem, fds.add(PROCESS_LOCK));
      for (const { address, bytes } of pieces) {
        for (let word = address; word < address + bytes; word += WORD) {
          code.i32(0);
          code.i64(mem.u32[word >>> 2]!, mem.u32[(word >>> 2) + 1]!);
          code.memory(w.I64_STORE, word);
        }
      }
      for (const field of [RUN_PROG, RUN_CURRENT]) record.store(field, prog);
      for (const address of ends) at(address).store(0, end);
      // As in `acquireRun`: what is taken over from a dead client is what counts.
      entry.store(CPU_LEVELS, 1);
      code.i32(1);
      code.op(w.RETURN);
    });
    emitUnlock(mem, fds.add(PROCESS_LOCK));
  });
  code.i32(0);
  return code;
}

/** Takes the lock, unless somebody has it, dead or alive. */
function leaveUnlessFree(mem: Memory, lock: Expr32, out: Exit): void {
  if (mem.shared) out.when(lock.cmpxchg(0, 0, mem.owner));
}
