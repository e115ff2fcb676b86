/**
 * BPF_PROG_LOAD. The order of the checks is the kernel's: flags, size, memory behind the pointers, kind of program, name,
 * log; then the instructions. There is no verifier yet: only what is structurally wrong is refused.
 */

import { contextOf } from "../contexts/table.ts";
import {
  addressedFunctions,
  decodeInsns,
  functionStarts,
  type Insn,
  LD_IMM64_OPCODE,
  validateProgram,
} from "../insn/index.ts";
import { MAX_INSNS } from "../insn/validate.ts";
import { LOOPBACK } from "../kern/devices.ts";
import { FMODE_READ, FMODE_WRITE } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { ownerFits } from "../kern/owner.ts";
import {
  allocProg,
  DIGEST_SIZE,
  PROG_ATTACH_TYPE,
  PROG_DIGEST,
  PROG_FLAGS,
  PROG_GPL,
  PROG_INSNS,
  PROG_LOAD_TIME,
  PROG_NAME,
  PROG_TYPE,
  setProgBtfs,
  setProgMaps,
  setProgSubprogs,
} from "../kern/prog.ts";
import { MAX_FRAMES } from "../kern/run_record.ts";
import { sha256 } from "../kern/sha256.ts";
import { OBJ_BTF, OBJ_MAP } from "../mem/layout.ts";
import {
  BPF_F_ANY_ALIGNMENT,
  BPF_F_SLEEPABLE,
  BPF_F_STRICT_ALIGNMENT,
  BPF_F_TEST_REG_INVARIANTS,
  BPF_F_TEST_RND_HI32,
  BPF_F_TEST_STATE_FREQ,
  BPF_F_TOKEN_FD,
  BPF_F_XDP_DEV_BOUND_ONLY,
  BPF_F_XDP_HAS_FRAGS,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
  bpf_attr,
  E2BIG,
  EFAULT,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
} from "../uapi/index.ts";
import { pointerAt, tokenError } from "./attr.ts";
import { type UserLog, userLog } from "./log.ts";
import { copyName } from "./map_create.ts";
import { type Attaching, attachTarget, checkAttach, checkTarget } from "./prog_attach.ts";
import { setProgBtf } from "./prog_btf.ts";
import { checkCalls } from "./prog_calls.ts";
import { callsTooDeep } from "./prog_depth.ts";
import { type Refs, resolveImmediates, useBtf, useMap } from "./prog_refs.ts";

const { prog_load } = bpf_attr;
const TRUE_SIZE_END: number = prog_load.log_true_size.offset + 4;
const KNOWN_FLAGS: number =
  BPF_F_STRICT_ALIGNMENT |
  BPF_F_ANY_ALIGNMENT |
  BPF_F_TEST_RND_HI32 |
  BPF_F_TEST_STATE_FREQ |
  BPF_F_SLEEPABLE |
  BPF_F_XDP_HAS_FRAGS |
  BPF_F_XDP_DEV_BOUND_ONLY |
  BPF_F_TEST_REG_INVARIANTS |
  BPF_F_TOKEN_FD;
const LICENSE_MAX = 127;
const MAX_FUNCTIONS = 256;
/** fd_array_cnt from here on overflows the kernel's arithmetic. */
const FD_ARRAY_MAX = 0x3fff_ffff;
const gplLicenses: readonly string[] = [
  "GPL",
  "GPL v2",
  "GPL and additional rights",
  "Dual BSD/GPL",
  "Dual MIT/GPL",
  "Dual MPL/GPL",
];

interface Load {
  readonly kernel: Kernel;
  readonly attaching: Attaching;
  readonly attr: number;
  readonly uattr: number;
  readonly size: number;
  readonly prog: number;
}

function field(kernel: Kernel, attr: number, f: { readonly offset: number }): number {
  return kernel.mem.u32[(attr + f.offset) >>> 2]!;
}

export function progLoad(kernel: Kernel, attr: number, uattr: number, size: number): number {
  const flags = field(kernel, attr, prog_load.prog_flags);
  if (flags & ~KNOWN_FLAGS) return -EINVAL;
  if (flags & BPF_F_TOKEN_FD) return tokenError(kernel, field(kernel, attr, prog_load.prog_token_fd));
  const count = field(kernel, attr, prog_load.insn_cnt);
  if (count === 0 || count > MAX_INSNS) return -E2BIG;
  const target = attachTarget(kernel, attr);
  if (target < 0) return target;
  const type = field(kernel, attr, prog_load.prog_type);
  const attaching: Attaching = {
    kernel,
    type,
    family: contextOf(type),
    attachType: field(kernel, attr, prog_load.expected_attach_type),
    flags,
    btfId: field(kernel, attr, prog_load.attach_btf_id),
    target,
  };
  const ret = checkAttach(attaching) || make({ kernel, attaching, attr, uattr, size, prog: 0 }, count, flags);
  if (target !== 0) kernel.done(target);
  return ret;
}

/** The fd of the new program, or an errno. */
function make(wanted: Load, count: number, flags: number): number {
  const { kernel } = wanted;
  const prog = allocProg(kernel.mem, count);
  if (prog === 0) return -ENOMEM;
  const ret = fill({ ...wanted, prog }, count, flags);
  if (ret >= 0) return kernel.publish(prog, FMODE_READ | FMODE_WRITE);
  kernel.discard(prog);
  return ret;
}

/** Makes the program whole. 0 or an errno. */
function fill(load: Load, count: number, flags: number): number {
  const { kernel, attr, prog, attaching } = load;
  const { mem } = kernel;
  const { u32 } = mem;
  const from = pointerAt(kernel, attr + prog_load.insns.offset);
  if (!kernel.userOk(from, count * 8, false)) return -EFAULT;
  mem.copy(u32[(prog + PROG_INSNS) >>> 2]!, from, count * 8);
  const license = readLicense(kernel, pointerAt(kernel, attr + prog_load.license.offset));
  if (license === undefined) return -EFAULT;
  // No keyring of this host could hold the key of a signature.
  if (pointerAt(kernel, attr + prog_load.signature.offset) !== 0) return -EINVAL;
  const ifindex = field(kernel, attr, prog_load.prog_ifindex);
  if (ifindex !== 0) return ifindex === LOOPBACK ? -EOPNOTSUPP : -EINVAL;
  if (attaching.family === undefined) return -EINVAL;
  u32[(prog + PROG_TYPE) >>> 2] = attaching.type;
  u32[(prog + PROG_ATTACH_TYPE) >>> 2] = attaching.attachType;
  u32[(prog + PROG_FLAGS) >>> 2] = flags;
  u32[(prog + PROG_GPL) >>> 2] = gplLicenses.includes(license) ? 1 : 0;
  mem.u64[(prog + PROG_LOAD_TIME) >>> 3] = kernel.now();
  const bad = copyName(kernel, attr + prog_load.prog_name.offset, prog + PROG_NAME);
  if (bad !== 0) return bad;
  const log = userLog(kernel, {
    level: field(kernel, attr, prog_load.log_level),
    buffer: pointerAt(kernel, attr + prog_load.log_buf.offset),
    size: field(kernel, attr, prog_load.log_size),
    trueSize: load.size < TRUE_SIZE_END ? 0 : load.uattr + prog_load.log_true_size.offset,
  });
  return typeof log === "number" ? log : log.end(check(load, log));
}

/** Text up to its NUL, or the first bytes of a longer one; undefined when it runs out of user memory. */
function readLicense(kernel: Kernel, from: number): string | undefined {
  let text = "";
  for (let i = 0; i < LICENSE_MAX; i++) {
    if (!kernel.userOk(from + i, 1, false)) return undefined;
    const c = kernel.mem.u8[from + i]!;
    if (c === 0) break;
    text += String.fromCharCode(c);
  }
  return text;
}

/** What the kernel's verifier says before it follows values. */
function check(load: Load, log: UserLog): number {
  const { kernel, attr, prog } = load;
  const { mem } = kernel;
  const code = mem.u32[(prog + PROG_INSNS) >>> 2]!;
  const insns = decodeInsns(mem.u8.slice(code, code + field(kernel, attr, prog_load.insn_cnt) * 8));
  const digest = new Uint8Array(DIGEST_SIZE);
  const fdArray = pointerAt(kernel, attr + prog_load.fd_array.offset);
  const refs: Refs = { kernel, insns, code, digest, fdArray, maps: [], btfs: [], log: log.line };
  const ret = checkCode(load, refs);
  // The program takes the references over; a program that is refused has none.
  const mapsTaken = ret === 0 && setProgMaps(kernel, prog, refs.maps);
  const btfsTaken = mapsTaken && setProgBtfs(mem, prog, refs.btfs);
  if (!mapsTaken) for (const map of refs.maps) kernel.put(map);
  if (!btfsTaken) for (const btf of refs.btfs) kernel.put(btf);
  return ret === 0 && !btfsTaken ? -ENOMEM : ret;
}

function checkCode(load: Load, refs: Refs): number {
  const { kernel, attr, prog, attaching } = load;
  const { insns, code, digest, log } = refs;
  const { mem } = kernel;
  const hasCoreRelos = field(kernel, attr, prog_load.core_relo_cnt) !== 0;
  const array = useFdArray(refs, field(kernel, attr, prog_load.fd_array_cnt));
  if (array !== 0) return array;
  // As in the kernel only now: an exclusive map in fd_array was compared with zeros.
  digest.set(digestOf(mem.u8.slice(code, code + insns.length * 8), insns));
  mem.u8.set(digest, prog + PROG_DIGEST);
  const bad = judgeForm(refs);
  if (bad !== 0) return bad;
  const functions = functionStarts(insns);
  if (functions.length > MAX_FUNCTIONS) {
    log("too many subprograms");
    return -E2BIG;
  }
  if (!setProgSubprogs(mem, prog, functions, addressedFunctions(insns))) return -ENOMEM;
  return (
    setProgBtf(kernel, prog, attr, load.uattr, insns, log) ||
    // Relocations can make of a good instruction one that divides by 0.
    (hasCoreRelos ? judgeForm(refs) : 0) ||
    resolveImmediates(refs) ||
    checkTarget(attaching, prog, log) ||
    checkCalls(refs, attaching, mem.u32[(prog + PROG_GPL) >>> 2] === 1) ||
    checkDepth(refs) ||
    checkOwners(refs, prog)
  );
}

function judgeForm({ insns, log }: Refs): number {
  const fault = validateProgram(insns);
  if (fault === undefined) return 0;
  log(`${fault.insn}: ${fault.message}`);
  return fault.errno;
}

function checkDepth({ insns, log }: Refs): number {
  if (!callsTooDeep(insns)) return 0;
  log(`the call stack of ${MAX_FRAMES + 1} frames is too deep`);
  return -E2BIG;
}

/** Maps that hold programs take this kind of program, whether it calls into them or not. The log says nothing of it. */
function checkOwners({ kernel, maps }: Refs, prog: number): number {
  for (const map of maps) {
    if (entryOfMap(kernel, map).traits.holdsPrograms === true && !ownerFits(kernel, map, prog)) return -EINVAL;
  }
  return 0;
}

/** SHA-256 over the instructions, fds of maps and offsets into values zeroed, as the kernel's tag is made since 6.18. */
function digestOf(bytes: Uint8Array, insns: readonly Insn[]): Uint8Array {
  insns.forEach((insn, at) => {
    if (insn.opcode !== LD_IMM64_OPCODE) return;
    if (insn.src !== BPF_PSEUDO_MAP_FD && insn.src !== BPF_PSEUDO_MAP_VALUE) return;
    bytes.fill(0, at * 8 + 4, at * 8 + 8);
    bytes.fill(0, at * 8 + 12, at * 8 + 16);
  });
  return sha256(bytes);
}

/** With a count, fd_array names maps and BTF objects that the program holds whether it uses them or not. */
function useFdArray(refs: Refs, count: number): number {
  const { kernel, fdArray, log } = refs;
  if (count >= FD_ARRAY_MAX) return -EINVAL;
  if (!kernel.userOk(fdArray, count * 4, false)) return -EFAULT;
  for (let i = 0; i < count; i++) {
    const fd = kernel.mem.view.getInt32(fdArray + i * 4, true);
    const map = kernel.get(fd, OBJ_MAP);
    if (map < 0) {
      const btf = kernel.get(fd, OBJ_BTF);
      if (btf < 0) {
        log(`fd ${fd} is not pointing to map or btf`);
        return map;
      }
      const full = useBtf(refs, btf);
      kernel.done(btf);
      if (full !== 0) return full;
      continue;
    }
    const bad = useMap(refs, map);
    kernel.done(map);
    if (bad !== 0) return bad;
  }
  return 0;
}
