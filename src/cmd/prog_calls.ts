/**
 * Judges the calls of a new program, and what else depends on its kind, as far as the instructions show it without
 * following values.
 */
import { kfuncNameOf } from "../helpers/kernel_btf.ts";
import { kfuncTable } from "../helpers/kfunc_table.ts";
import { baseHelpers, helperTable } from "../helpers/table.ts";
import { encodeInsns, type Insn, insnTable, ja, LD_IMM64_OPCODE, variantOf } from "../insn/index.ts";
import { entryOfMap } from "../kern/map.ts";
import { readOnlyFor } from "../kern/prog.ts";
import { valueArea, valueFault } from "../kern/reach.ts";
import { AREA_MAP } from "../mem/alloc.ts";
import { MAP_FLAGS, MAP_FROZEN, MAP_KEY_SIZE, MAP_TYPE, MAP_VALUE_SIZE } from "../struct/map.ts";
import { BPF_F_RDONLY_PROG, BPF_F_SLEEPABLE, BPF_PSEUDO_FUNC, bpfFuncNames, EACCES, EINVAL } from "../uapi/index.ts";
import type { Caller } from "./prog_attach.ts";
import { type Constants, reachedInsns } from "./prog_dead.ts";
import { kfuncOf, type Refs } from "./prog_refs.ts";

/** Instructions that depend on the kind of program, and its calls. 0 or an errno. */
export function checkCalls(refs: Refs, caller: Caller, gpl: boolean): number {
  const { insns, log } = refs;
  const targets = jumpTargets(insns);
  /** Register → the map whose handle it certainly holds, or 0. */
  const known: number[] = new Array<number>(11).fill(0);
  let reached: Uint8Array | undefined;
  for (let at = 0; at < insns.length; at++) {
    if (targets.has(at)) known.fill(0);
    const bad = checkInsn(refs, at, caller, gpl, known);
    if (bad !== undefined) {
      reached ??= reachedInsns(insns, constantsOf(refs));
      if (reached[at] === 1) {
        log(`${at}: ${bad.text}`);
        return bad.errno;
      }
      bury(refs, at);
    }
    follow(refs, at, known);
    if (insns[at]!.opcode === LD_IMM64_OPCODE) at++;
  }
  return 0;
}

/** What 64-bit immediates have become, and values of maps that nobody can write any more. */
function constantsOf({ kernel, insns, code, maps }: Refs): Constants {
  const { mem } = kernel;
  return {
    immediate: (at) => {
      if (insns[at]!.src === BPF_PSEUDO_FUNC) return undefined;
      const word = (code + at * 8 + 4) >>> 2;
      return (BigInt(mem.u32[word + 2]!) << 32n) | BigInt(mem.u32[word]!);
    },
    memory: (address, size) => {
      const area = address + size <= mem.byteLength ? valueArea(mem, address) : 0;
      if (area === 0 || valueFault(mem, area, address, size, false) !== 0) return undefined;
      const map = mem.u32[(area + AREA_MAP) >>> 2]!;
      const constant =
        (mem.u32[(map + MAP_FLAGS) >>> 2]! & BPF_F_RDONLY_PROG) !== 0 && mem.u32[(map + MAP_FROZEN) >>> 2] !== 0;
      if (!constant || !maps.includes(map)) return undefined;
      let value = 0n;
      for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(mem.u8[address + i]!);
      return value;
    },
  };
}

/** What no run comes to, and could not be executed, becomes an endless loop. */
function bury({ kernel, code }: Refs, at: number): void {
  kernel.mem.u8.set(encodeInsns([ja(-1)]), code + at * 8);
}

interface Refusal {
  readonly errno: number;
  readonly text: string;
}

const invalid = (text: string): Refusal => ({ errno: -EINVAL, text });

/** Where control comes from elsewhere, so that nothing is known about registers. */
function jumpTargets(insns: readonly Insn[]): ReadonlySet<number> {
  const targets = new Set<number>();
  insns.forEach((insn, at) => {
    const row = insnTable[insn.opcode];
    if (row === undefined) return;
    const variant = variantOf(row, insn);
    if (row.off === "jump") targets.add(at + 1 + insn.off);
    if ((variant?.imm ?? row.imm) === "jump") targets.add(at + 1 + insn.imm);
    if (row.kind === "goto" || row.kind === "exit") targets.add(at + 1);
  });
  return targets;
}

function checkInsn(
  refs: Refs,
  at: number,
  caller: Caller,
  gpl: boolean,
  known: readonly number[],
): Refusal | undefined {
  const insn = refs.insns[at]!;
  const row = insnTable[insn.opcode]!;
  const op = variantOf(row, insn)?.op;
  if (row.kind === "ldPacket" && !caller.family!.packetLoads) {
    return invalid("BPF_LD_[ABS|IND] instructions not allowed for this program type");
  }
  if (op === "addrSpaceCast" && !refs.maps.some((map) => entryOfMap(refs.kernel, map).traits.userAddresses)) {
    return invalid("addr_space_cast insn can only be used in a program that has an associated arena");
  }
  if (op === "kfunc") return checkKfunc(refs, at, caller, gpl);
  return op === "helper" ? checkHelper(refs, insn.imm, caller, gpl, known) : undefined;
}

function checkKfunc(refs: Refs, at: number, { type, flags }: Caller, gpl: boolean): Refusal | undefined {
  const { imm } = refs.insns[at]!;
  const kfunc = kfuncTable[kfuncOf(refs, at)];
  if (kfunc === undefined) {
    const name = kfuncNameOf(refs.kernel, imm);
    return invalid(
      name === undefined ? `kernel btf_id ${imm} is not a function` : `kernel function ${name} is not supported here`,
    );
  }
  if (!gpl) return invalid("cannot call kernel function from non-GPL compatible program");
  if (kfunc.programs?.includes(type) === false)
    return { errno: -EACCES, text: `calling kernel function ${kfunc.name} is not allowed` };
  if (kfunc.sleepable === true && (flags & BPF_F_SLEEPABLE) === 0) {
    return { errno: -EACCES, text: `program must be sleepable to call sleepable kfunc ${kfunc.name}` };
  }
  return undefined;
}

/** Whether this kind of program, with its attach type, has the helper beside those that all have. */
function hasHelper({ family, attachType }: Caller, id: number): boolean {
  return family!.helpers.includes(id) && family!.onlyFor?.[id]?.includes(attachType) !== false;
}

function checkHelper(
  refs: Refs,
  id: number,
  caller: Caller,
  gpl: boolean,
  known: readonly number[],
): Refusal | undefined {
  const helper = helperTable[id];
  if (helper === undefined) {
    const name = bpfFuncNames[id]?.replace("BPF_FUNC_", "bpf_");
    return invalid(name === undefined ? `invalid func unknown#${id}` : `helper ${name}#${id} is not supported here`);
  }
  const { name, args } = helper;
  if (!baseHelpers.includes(id) && !hasHelper(caller, id)) {
    return invalid(`program of this type cannot use helper ${name}#${id}`);
  }
  if (helper.gplOnly && !gpl) return invalid("cannot call GPL-restricted function from non-GPL compatible program");
  if (helper.mightSleep === true && (caller.flags & BPF_F_SLEEPABLE) === 0) {
    return invalid(`helper ${name}#${id} may sleep: programs that call it are loaded with BPF_F_SLEEPABLE`);
  }
  const map = known[args.indexOf("map") + 1]!;
  if (!args.includes("map") || map === 0) return undefined;
  const { u32 } = refs.kernel.mem;
  const noKey = args.includes("key") && u32[(map + MAP_KEY_SIZE) >>> 2] === 0;
  const takesValue = args.includes("value") || args.includes("valueOut");
  if (noKey || (takesValue && u32[(map + MAP_VALUE_SIZE) >>> 2] === 0)) {
    return { errno: -EACCES, text: `${name}#${id}: this map has no ${noKey ? "keys" : "values"}` };
  }
  if (!entryOfMap(refs.kernel, map).traits.helpers.includes(id)) {
    return invalid(`cannot pass map_type ${u32[(map + MAP_TYPE) >>> 2]} into func ${name}#${id}`);
  }
  if (readOnlyFor(refs.kernel.mem, map, id)) return { errno: -EACCES, text: "write into map forbidden" };
  return undefined;
}

/** What the instruction makes of the knowledge about registers. */
function follow(refs: Refs, at: number, known: number[]): void {
  const insn = refs.insns[at]!;
  const row = insnTable[insn.opcode]!;
  const variant = variantOf(row, insn);
  if (row.kind === "call") {
    known.fill(0, 0, 6);
  } else if (variant?.op === "mapFd" || variant?.op === "mapIdx") {
    known[insn.dst] = refs.kernel.mem.u32[(refs.code + at * 8 + 4) >>> 2]!;
  } else if (variant?.op === "mov" && row.bits === 64) {
    known[insn.dst] = known[insn.src]!;
  } else {
    const dst = variant?.dst ?? row.dst;
    const src = variant?.src ?? row.src;
    if (dst === "write" || dst === "readWrite") known[insn.dst] = 0;
    if (src === "write" || src === "readWrite") known[insn.src] = 0;
    if (row.kind === "atomic" || row.kind === "ldPacket") known[0] = 0;
  }
}
