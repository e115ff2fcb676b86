/**
 * The interpreter: a machine, not a recursion. Every opcode has a handler, found by the instruction table; a run can stop
 * after any instruction, and its record says where.
 */
import { Bug } from "../errors.ts";
import { type InsnKind, type InsnRow, insnTable } from "../insn/index.ts";
import { RUN_RUNNING, RUN_SPENT, STACK_FRAME } from "../kern/run_record.ts";
import { alu32 } from "./alu32.ts";
import { alu64, swapBytes, toLe } from "./alu64.ts";
import { atomicHandler } from "./atomic.ts";
import { call, exit, mayGoto } from "./call.ts";
import type { Handler } from "./handler.ts";
import { jump32, jump64 } from "./jump.ts";
import { loadImm64, loads, signedLoads, stores } from "./load_store.ts";
import { type Machine, save } from "./machine.ts";
import { runObserved } from "./observe.ts";
import { packetLoad } from "./packet_loads.ts";

function unknown(_m: Machine, _d: number, _low: number, _high: number, w: number): void {
  throw new Bug(`opcode 0x${(w & 0xff).toString(16)} came past the loader`);
}

/** Rows of these kinds hold the name of what they do in `op`, under which the handlers are listed. */
function named(table: Readonly<Record<string, Handler>>, row: InsnRow): Handler {
  return table[row.op] ?? unknown;
}

function sized(row: InsnRow): 1 | 2 | 4 | 8 {
  if (row.size === 0) throw new Bug(`opcode 0x${row.opcode.toString(16)} accesses memory of no size`);
  return row.size;
}

const byKind: Readonly<Record<InsnKind, (row: InsnRow) => Handler>> = {
  alu: (row) => named(row.bits === 64 ? alu64 : alu32, row),
  end: (row) => (row.variants[0]?.op === "toLe" ? toLe : swapBytes),
  ldImm64: () => loadImm64,
  load: (row) => (row.signed ? signedLoads : loads)[sized(row)],
  store: (row) => stores[sized(row)],
  atomic: (row) => atomicHandler(sized(row), row.variants),
  ldPacket: (row) => packetLoad(sized(row), row.src === "read"),
  goto: (row) => (row.off === "jump" ? goto16 : goto32),
  jump: (row) => named(row.bits === 64 ? jump64 : jump32, row),
  mayGoto: () => mayGoto,
  call: () => call,
  exit: () => exit,
};

function goto16(m: Machine, _d: number, _low: number, _high: number, w: number): void {
  m.pc += w >> 16;
}

function goto32(m: Machine, _d: number, _low: number, _high: number, _w: number, imm: number): void {
  m.pc += imm;
}

const handlers: readonly Handler[] = insnTable.map((row) => (row === undefined ? unknown : byKind[row.kind](row)));
/** 1: the second operand is a register; a load's is the pointer. */
const registerOperand: Uint8Array = Uint8Array.from(insnTable, (row) =>
  row !== undefined && (row.operand === "reg" || row.kind === "load") ? 1 : 0,
);

/** Executes up to `limit` instructions. Between two calls the run record tells all. */
export function step(m: Machine, limit: number): void {
  const { i32, regs } = m;
  const turns = Math.min(limit, m.budget);
  let left = turns;
  while (left > 0 && m.status === RUN_RUNNING) {
    left--;
    const at = m.code + m.pc * 2;
    m.pc++;
    const w = i32[at]!;
    const imm = i32[at + 1]!;
    const opcode = w & 0xff;
    const d = regs + ((w >>> 7) & 30);
    if (registerOperand[opcode] === 1) {
      const s = regs + ((w >>> 11) & 30);
      handlers[opcode]!(m, d, i32[s]!, i32[s + 1]!, w, imm);
    } else {
      handlers[opcode]!(m, d, imm, imm >> 31, w, imm);
    }
  }
  m.budget -= turns - left;
  if (m.budget === 0 && m.status === RUN_RUNNING) m.status = RUN_SPENT;
  save(m);
}

/** Runs to the end, on a stack that is zero: exit, fault, or a budget that is spent. Returns the status. */
export function run(m: Machine): number {
  const { observer } = m.kernel;
  m.mem.zero(m.stackLow, STACK_FRAME);
  if (observer === undefined) step(m, m.budget);
  else runObserved(m, observer, step);
  return m.status;
}
