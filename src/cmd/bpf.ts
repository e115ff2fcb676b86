/** bpf(cmd, attr, size): the entry. Sizes and tails are judged here, then the command's handler runs. */
import { UNKNOWN } from "../kern/element_gen.ts";
import type { Kernel } from "../kern/kernel.ts";
import { LEFT } from "../struct/gen.ts";
import {
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
  bpf_attr,
  E2BIG,
  EFAULT,
  EINVAL,
} from "../uapi/index.ts";
import { mapDeleteElem, mapLookupElem, mapUpdateElem } from "./map_elem.ts";
import { type Command, commandTable } from "./table.ts";

const ATTR_SIZE = bpf_attr.size;
/** The kernel copies at most one page. */
const SIZE_MAX = 4096;
// Constants of this module are folded into compiled code; imported ones are read and checked each time.
const LOOKUP: number = BPF_MAP_LOOKUP_ELEM;
const UPDATE: number = BPF_MAP_UPDATE_ELEM;
const DELETE: number = BPF_MAP_DELETE_ELEM;
const WHOLE: number = bpf_attr.elem.flags.offset + bpf_attr.elem.flags.size;
const KEY_ONLY: number = bpf_attr.elem.key.offset + bpf_attr.elem.key.size;
const UNMET: number = UNKNOWN;

/**
 * `uattr` is an address in user memory. Every field is read from a copy, or, on an exclusive host, in place: nobody
 * else runs meanwhile.
 */
export function bpf(kernel: Kernel, cmd: number, uattr: number, attrSize: number): number {
  if (uattr >>> 0 === uattr && cmd <= DELETE) {
    const ret = compiled(kernel, cmd, uattr, attrSize);
    if (ret <= 0) return ret;
    if (ret === UNMET) return thenMeet(kernel, cmd, uattr, attrSize);
  }
  return run(kernel, cmd, uattr, attrSize);
}

/** The command comes first: to meet the map its fd is looked up once more. */
function thenMeet(kernel: Kernel, cmd: number, uattr: number, attrSize: number): number {
  const ret = run(kernel, cmd, uattr, attrSize);
  kernel.elements.meet(uattr);
  return ret;
}

function run(kernel: Kernel, cmd: number, uattr: number, attrSize: number): number {
  const command = commandTable[cmd | 0];
  // Attributes that end with the command's last field have nothing behind it to judge.
  const exact = command !== undefined && attrSize === command.end && (uattr & 7) === 0 && uattr >>> 0 === uattr;
  if (exact && !kernel.mem.shared && kernel.userOk(uattr, attrSize, false)) {
    // V8 calls directly what is called by name, or puts it in place: these are called most.
    if (cmd === LOOKUP) return mapLookupElem(kernel, uattr);
    if (cmd === UPDATE) return mapUpdateElem(kernel, uattr);
    if (cmd === DELETE) return mapDeleteElem(kernel, uattr);
    return command.run(kernel, uattr, uattr, attrSize);
  }
  return bpfAny(kernel, command, uattr, attrSize >>> 0);
}

/** A command on one element as compiled code: its result, LEFT or UNKNOWN. */
function compiled({ elements }: Kernel, cmd: number, uattr: number, attrSize: number): number {
  if (attrSize === WHOLE) {
    if (cmd === LOOKUP) return elements.lookup(uattr);
    if (cmd === UPDATE) return elements.update(uattr);
  }
  return attrSize === KEY_ONLY && cmd === DELETE ? elements.delete(uattr) : LEFT;
}

function bpfAny(kernel: Kernel, command: Command | undefined, uattr: number, size: number): number {
  if (size > SIZE_MAX) return -E2BIG;
  if (uattr >>> 0 !== uattr) return -EFAULT;
  const known = Math.min(size, ATTR_SIZE);
  if (!kernel.userOk(uattr, size, false)) return -EFAULT;
  const { mem } = kernel;
  for (let i = uattr + known; i < uattr + size; i++) if (mem.u8[i] !== 0) return -E2BIG;
  if (command === undefined) return -EINVAL;
  const { end } = command;
  for (let i = uattr + end; i < uattr + known; i++) if (mem.u8[i] !== 0) return -EINVAL;
  if (size >= end && (uattr & 7) === 0 && !mem.shared) return command.run(kernel, uattr, uattr, size);
  const { attr } = kernel;
  const given = Math.min(known, end);
  mem.copy(attr, uattr, given);
  if (given < end) mem.zero(attr + given, end - given);
  return command.run(kernel, attr, uattr, size);
}
