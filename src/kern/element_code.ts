/**
 * Commands on single elements as this client has compiled them: see `element_gen.ts`. A shape gets code once the client
 * has worked with maps of it for a while: maps that are used a few times cost nothing.
 */

import { alloc, free } from "../mem/alloc.ts";
import { LEFT } from "../struct/gen.ts";
import {
  MAP_DESC_SIZE,
  MAP_FIELDS,
  MAP_FLAGS,
  MAP_KEY_SIZE,
  MAP_TYPE,
  MAP_VALUE_SIZE,
  mapField,
} from "../struct/map.ts";
import { bpf_attr } from "../uapi/index.ts";
import { IMPORTS, MEMORY } from "../wasm/module.ts";
import { ELEMENT_BLOCK, rememberBlock } from "./clients.ts";
import { commandModule, END, SHAPE_SIZE, UNKNOWN } from "./element_gen.ts";
import type { Kernel } from "./kernel.ts";
import { endUse } from "./use.ts";

/** What tells shapes apart. */
const shapeFields = [MAP_TYPE, MAP_KEY_SIZE, MAP_VALUE_SIZE, MAP_FLAGS] as const;

/** Given the address of attributes of the command's full length: its result, LEFT or UNKNOWN. */
export type ElementFunction = (attr: number) => number;

/** How often maps of a shape are met before it gets code: to make it takes as long as some thousand commands. */
const PATIENCE = 500;
/** Who comes later is left to TypeScript: each command asks one after the other. */
const SHAPES_MAX = 16;

const unknown: ElementFunction = () => UNKNOWN;
const left: ElementFunction = () => LEFT;

export class ElementCode {
  lookup: ElementFunction = unknown;
  update: ElementFunction = unknown;
  delete: ElementFunction = unknown;
  patience: number = PATIENCE;
  readonly #kernel: Kernel;
  /** How often shapes were met, by their fields. */
  readonly #met: Map<string, number> = new Map();
  readonly #shapes: Uint32Array[] = [];

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** A command with these attributes was UNKNOWN. */
  meet(attr: number): void {
    const kernel = this.#kernel;
    if ((attr & 3) !== 0 || !kernel.userOk(attr, 4, false)) return;
    const map = kernel.getMap(kernel.mem.u32[(attr + bpf_attr.elem.map_fd.offset) >>> 2]!, 0);
    if (map < 0) return;
    if (mapField(kernel.mem, map, MAP_FIELDS) === 0 && this.#isTime(map)) this.#add(map);
    kernel.endMap();
  }

  #isTime(map: number): boolean {
    const name = shapeFields.map((field) => mapField(this.#kernel.mem, map, field)).join();
    const met = (this.#met.get(name) ?? 0) + 1;
    this.#met.set(name, met);
    return met > this.patience;
  }

  #add(map: number): void {
    const { mem, client } = this.#kernel;
    const template = alloc(mem, MAP_DESC_SIZE);
    if (template === 0) return;
    rememberBlock(mem, client, ELEMENT_BLOCK, template, MAP_DESC_SIZE);
    this.#shapes.push(mem.u32.slice(map >>> 2, (map + SHAPE_SIZE) >>> 2));
    this.#compile(template);
    rememberBlock(mem, client, ELEMENT_BLOCK, 0, 0);
    free(mem, template, MAP_DESC_SIZE);
  }

  #compile(template: number): void {
    const { mem } = this.#kernel;
    const others = this.#shapes.length === SHAPES_MAX ? LEFT : UNKNOWN;
    const builder = commandModule(this.#kernel, { known: this.#shapes, template, others });
    const imports = { [MEMORY]: mem.wasm, [END]: () => endUse(this.#kernel) };
    try {
      const module = new WebAssembly.Module(builder.bytes(mem.sharedPages));
      const commands = new WebAssembly.Instance(module, { [IMPORTS]: imports }).exports;
      this.#use(commands as Record<"lookup" | "update" | "delete", ElementFunction>);
    } catch (error) {
      // The page does not allow it: all goes on in TypeScript.
      if (!(error instanceof WebAssembly.CompileError || error instanceof RangeError)) throw error;
      this.#use({ lookup: left, update: left, delete: left });
    }
  }

  #use(commands: Readonly<Record<"lookup" | "update" | "delete", ElementFunction>>): void {
    this.lookup = commands.lookup;
    this.update = commands.update;
    this.delete = commands.delete;
  }
}
