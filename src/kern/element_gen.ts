/**
 * The commands LOOKUP, UPDATE and DELETE of one element as WebAssembly, where all is as it mostly is: attributes, key and
 * value in user memory, an fd that allows it, a map of a shape that the client has met. All else is left to TypeScript,
 * before anything was done, so that errors and their order stand there once.
 *
 * A shape is what code depends on beside the map's own descriptor. It is told by that descriptor, so nothing is kept of
 * single maps, which come and go.
 */
import { USER_AREA } from "../mem/alloc.ts";
import { GRANULE, GRANULE_SHIFT, OBJ_KIND, OBJ_MAP, SB_TABLE } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { emitCopy } from "../struct/emit.ts";
import { LEFT } from "../struct/gen.ts";
import {
  MAP_ABI_VALUE_SIZE,
  MAP_FIELDS,
  MAP_FLAGS,
  MAP_FROZEN,
  MAP_KEY_SIZE,
  MAP_PRIVATE,
  MAP_TYPE,
  MAP_VALUE_SIZE,
  mapField,
} from "../struct/map.ts";
import { BPF_MAP_DELETE_ELEM, BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, bpf_attr } from "../uapi/index.ts";
import { Code, I32 } from "../wasm/code.ts";
import {
  block,
  const32,
  type Exit,
  type Expr32,
  Local32,
  local32,
  type Operand32,
  push32,
  when,
} from "../wasm/expr.ts";
import { ModuleBuilder, type Signature } from "../wasm/module.ts";
import * as w from "../wasm/opcodes.ts";
import { FMODE_READ, FMODE_WRITE, MODE_MASK, PROCESS_CAPACITY, PROCESS_TABLE } from "./fds.ts";
import type { Kernel } from "./kernel.ts";
import { entryOfMap } from "./map.ts";

/** As LEFT, and the client has not met the map. */
export const UNKNOWN = 2;

/** What the commands import: what ends one whose map nobody else holds any more. */
export const END = "end";

/** Longest key that there is code for: on a shared host it is copied first. */
export const KEY_MAX = 64;
/** Longest value: copying more takes so long that nothing else shows. */
const VALUE_MAX = 4096;
/** What all types have in a map's descriptor, at its beginning: shapes are made of it. */
export const SHAPE_SIZE: number = MAP_PRIVATE;

const { elem } = bpf_attr;

interface ElementCommand {
  readonly name: "lookup" | "update" | "delete";
  readonly cmd: number;
  /** Bytes of the attributes. */
  readonly size: number;
  readonly mode: number;
}

const ALL = elem.flags.offset + elem.flags.size;
const UP_TO_KEY = elem.key.offset + elem.key.size;

export const elementCommands: readonly ElementCommand[] = [
  { name: "lookup", cmd: BPF_MAP_LOOKUP_ELEM, size: ALL, mode: FMODE_READ },
  { name: "update", cmd: BPF_MAP_UPDATE_ELEM, size: ALL, mode: FMODE_WRITE },
  { name: "delete", cmd: BPF_MAP_DELETE_ELEM, size: UP_TO_KEY, mode: FMODE_WRITE },
];

/** Address of the attributes; what the command returns, LEFT or UNKNOWN. */
const COMMAND: Signature = { params: [I32], results: [I32] };

export interface Shapes {
  /** What the descriptors of their maps begin with. */
  readonly known: readonly Uint32Array[];
  /** Room for a descriptor: that of the shape for which code is being made. */
  readonly template: number;
  /** What maps of other shapes come to: UNKNOWN, or LEFT when there will be no more shapes. */
  readonly others: number;
}

/** The three commands, for maps of these shapes. */
export function commandModule(kernel: Kernel, shapes: Shapes): ModuleBuilder {
  const module = new ModuleBuilder();
  const end = kernel.mem.shared ? module.importFunction(END, { params: [], results: [] }) : 0;
  for (const command of elementCommands) {
    const code = new Code(COMMAND.params.length);
    new CommandEmitter(kernel, code, command, end).emit(shapes);
    const func = module.declare(COMMAND);
    module.define(func, code);
    module.exportFunction(command.name, func);
  }
  return module;
}

class CommandEmitter {
  readonly #kernel: Kernel;
  readonly #code: Code;
  readonly #command: ElementCommand;
  readonly #end: number;
  /** What the client's slot says of its use of the map: see `use.ts`. */
  readonly #use: Local32;

  constructor(kernel: Kernel, code: Code, command: ElementCommand, end: number) {
    this.#kernel = kernel;
    this.#code = code;
    this.#command = command;
    this.#end = end;
    this.#use = local32(code);
  }

  emit({ known, template, others }: Shapes): void {
    const code = this.#code;
    const { size, mode } = this.#command;
    const { mem } = this.#kernel;
    const attr = new Local32(code, 0);
    block(code, (left) => {
      leaveUnlessUser(mem, attr, size, left);
      // Each field is read once: another thread may change them.
      const fd = local32(code, attr.load(elem.map_fd.offset));
      const args = [this.#pointer(attr, elem.key.offset, left)];
      if (size === ALL) {
        const [low, high] = [0, 4].map((half) => local32(code, attr.load(elem.flags.offset + half))) as [
          Local32,
          Local32,
        ];
        args.push(this.#pointer(attr, elem.value.offset, left), low, high);
        if (mode === FMODE_READ) left.when(low.or(high));
      }
      const map = this.#begin(fd, left);
      // What special fields hold has to be seen to.
      const special = map.load(MAP_FIELDS);
      const frozen = mem.shared ? map.atomicLoad(MAP_FROZEN) : map.load(MAP_FROZEN);
      when(mode === FMODE_WRITE ? special.or(frozen) : special, () => this.#return(LEFT));
      for (const shape of known) {
        mem.u32.set(shape, template >>> 2);
        this.#ofShape(template, map, args);
      }
      this.#return(others);
    });
    code.i32(LEFT);
  }

  /** Goes on behind it when the map has another shape. */
  #ofShape(template: number, at: Local32, args: readonly Local32[]): void {
    const code = this.#code;
    const { mem } = this.#kernel;
    const field = (offset: number): number => mapField(mem, template, offset);
    const [keySize, valueSize] = [field(MAP_KEY_SIZE), field(MAP_ABI_VALUE_SIZE)];
    const fits = keySize <= KEY_MAX && valueSize <= VALUE_MAX;
    const gen = fits
      ? entryOfMap(this.#kernel, template).ops.map_gen_element(this.#kernel, this.#command.cmd)
      : undefined;
    block(code, (other) => {
      // The two are neighbours.
      other.when(at.load64(MAP_TYPE).ne(field(MAP_TYPE) + keySize * 2 ** 32));
      other.when(
        at
          .load(MAP_VALUE_SIZE)
          .xor(field(MAP_VALUE_SIZE))
          .or(at.load(MAP_FLAGS).xor(field(MAP_FLAGS))),
      );
      block(code, (left) => {
        if (gen === undefined) return;
        const [key, value] = args as [Local32, Local32 | undefined];
        leaveUnlessUser(mem, key, keySize, left);
        if (value !== undefined) leaveUnlessUser(mem, value, valueSize, left);
        if (mem.shared) {
          if (this.#command.mode === FMODE_READ) {
            // A value that was copied in vain must not have spoiled what TypeScript reads again.
            const attr = new Local32(code, 0);
            left.when(overlap(key, keySize, value!, valueSize).or(overlap(attr, ALL, value!, valueSize)));
          }
          const copy = local32(code, this.#kernel.keyCopy);
          emitCopy(copy, key, keySize);
          key.set(copy);
        }
        const call = { code, mem, map: template, at, args, helper: const32(code, LEFT) };
        this.#return(gen({ ...call, field: (offset) => at.load(offset) }));
      });
      this.#return(LEFT);
    });
  }

  /** A u64 pointer within the 4 GiB. */
  #pointer(attr: Local32, offset: number, left: Exit): Local32 {
    left.when(attr.load(offset + 4));
    return local32(this.#code, attr.load(offset));
  }

  /** What `getMap` does: the map is in use from then on, until `#return`. */
  #begin(fd: Local32, left: Exit): Local32 {
    const code = this.#code;
    const { mode } = this.#command;
    const { mem, process, use } = this.#kernel;
    const fds = const32(code, process);
    left.when(fd.geU(fds.load(PROCESS_CAPACITY)));
    const entry = local32(code, fds.load(PROCESS_TABLE).add(fd.shl(2)).load());
    left.when(entry.eqz());
    const map = local32(code, entry.and(~MODE_MASK));
    if (mem.shared) {
      this.#use.set(map.or(mode & FMODE_WRITE));
      const32(code, use).atomic(w.ATOMIC_XCHG, 0, this.#use).push();
      code.op(w.DROP);
      // As in `beginUse`: what was found counts if it stands there still.
      when(fds.atomicLoad(PROCESS_TABLE).add(fd.shl(2)).atomicLoad().ne(entry), () => this.#return(LEFT));
    }
    when(entry.and(mode).eqz().or(map.load(OBJ_KIND).ne(OBJ_MAP)), () => this.#return(LEFT));
    return map;
  }

  /** Ends what `#begin` began. */
  #return(result: Operand32): void {
    const code = this.#code;
    const { mem, use } = this.#kernel;
    push32(code, result);
    if (mem.shared) when(const32(code, use).cmpxchg(0, this.#use, 0).ne(this.#use), () => code.call(this.#end));
    code.op(w.RETURN);
  }
}

/** Whether two places have a byte in common. */
function overlap(a: Local32, aSize: number, b: Local32, bSize: number): Expr32 {
  return a.sub(b).ltU(bSize).or(b.sub(a).ltU(aSize));
}

/** As `userOk`, but for mappings, and for what lies in more than one granule. */
function leaveUnlessUser(mem: Memory, address: Local32, size: number, left: Exit): void {
  left.when(
    address
      .and(GRANULE - 1)
      .add(size)
      .gtU(GRANULE),
  );
  left.when(
    address
      .shrU(GRANULE_SHIFT)
      .shl(2)
      .load(mem.u32[SB_TABLE >>> 2]!)
      .ne(USER_AREA),
  );
}
