/**
 * A WebAssembly module under construction: one imported memory, imported functions, a table of them, functions of its own,
 * exports. Its own functions are known by negative numbers until all is there that is imported, since WebAssembly counts that first.
 */
import { Bug } from "../errors.ts";
import { Bytes, type Code, FUNCTIONS_MAX, type ValueType } from "./code.ts";

export interface Signature {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

interface OwnFunction {
  readonly type: number;
  code: Code | undefined;
}

const FUNC_TYPE = 0x60;
const EXTERNAL_FUNC = 0x00;
const EXTERNAL_TABLE = 0x01;
const EXTERNAL_MEMORY = 0x02;
const EXTERNAL_GLOBAL = 0x03;
const SHARED = 0x03;
const FUNCREF = 0x70;
const MODULE_ROOM = 4096;
const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
/** Name of the module that everything is imported from. */
export const IMPORTS = "i";
export const MEMORY = "memory";

export class ModuleBuilder {
  readonly #types: Signature[] = [];
  readonly #imports: { readonly name: string; readonly type: number }[] = [];
  readonly #globals: { readonly name: string; readonly type: ValueType }[] = [];
  #table: string | undefined;
  readonly #functions: OwnFunction[] = [];
  readonly #exports: { readonly name: string; readonly func: number }[] = [];

  /** Its index for `Code.callIndirect`. */
  typeOf(signature: Signature): number {
    const types = this.#types;
    for (let i = 0; i < types.length; i++) if (isSame(types[i]!, signature)) return i;
    return types.push(signature) - 1;
  }

  /** Its number for `Code.call`. */
  importFunction(name: string, signature: Signature): number {
    return this.#imports.push({ name, type: this.typeOf(signature) }) - 1;
  }

  /** Its index for `Code.global`. The module does not change it. */
  importGlobal(name: string, type: ValueType): number {
    return this.#globals.push({ name, type }) - 1;
  }

  /** The one table of functions. */
  importTable(name: string): void {
    this.#table = name;
  }

  /** A function whose code follows by `define`: so that functions can call each other. */
  declare(signature: Signature): number {
    return -this.#functions.push({ type: this.typeOf(signature), code: undefined });
  }

  define(func: number, code: Code): void {
    this.#functions[-1 - func]!.code = code;
  }

  exportFunction(name: string, func: number): void {
    this.#exports.push({ name, func });
  }

  /** `pages`: the largest size of the shared memory that is imported; undefined: it is not shared. */
  bytes(pages: number | undefined): Uint8Array<ArrayBuffer> {
    const imported = this.#imports.length;
    if (imported + this.#functions.length > FUNCTIONS_MAX) throw new Bug(`more than ${FUNCTIONS_MAX} functions`);
    const out = new Bytes(MODULE_ROOM);
    for (const byte of MAGIC) out.byte(byte);
    section(out, 1, this.#types.length, (body) => {
      for (const { params, results } of this.#types) {
        body.byte(FUNC_TYPE);
        types(body, params);
        types(body, results);
      }
    });
    const tables = this.#table === undefined ? [] : [this.#table];
    section(out, 2, imported + this.#globals.length + tables.length + 1, (body) => {
      text(body, IMPORTS);
      text(body, MEMORY);
      body.byte(EXTERNAL_MEMORY);
      body.byte(pages === undefined ? 0 : SHARED);
      body.u32(1);
      if (pages !== undefined) body.u32(pages);
      for (const { name, type } of this.#imports) {
        text(body, IMPORTS);
        text(body, name);
        body.byte(EXTERNAL_FUNC);
        body.u32(type);
      }
      for (const name of tables) {
        text(body, IMPORTS);
        text(body, name);
        body.byte(EXTERNAL_TABLE);
        body.byte(FUNCREF);
        // As long as may be.
        body.byte(0);
        body.u32(0);
      }
      for (const { name, type } of this.#globals) {
        text(body, IMPORTS);
        text(body, name);
        body.byte(EXTERNAL_GLOBAL);
        body.byte(type);
        body.byte(0);
      }
    });
    section(out, 3, this.#functions.length, (body) => {
      for (const { type } of this.#functions) body.u32(type);
    });
    section(out, 7, this.#exports.length, (body) => {
      for (const { name, func } of this.#exports) {
        text(body, name);
        body.byte(EXTERNAL_FUNC);
        body.u32(func < 0 ? imported - 1 - func : func);
      }
    });
    section(out, 10, this.#functions.length, (body) => {
      for (const { code } of this.#functions) {
        const begin = body.beginLength();
        code!.writeBody(body, imported);
        body.endLength(begin);
      }
    });
    return out.bytes.slice(0, out.length);
  }
}

function section(out: Bytes, id: number, count: number, fill: (body: Bytes) => void): void {
  out.byte(id);
  const begin = out.beginLength();
  out.u32(count);
  fill(out);
  out.endLength(begin);
}

function types(to: Bytes, list: readonly ValueType[]): void {
  to.u32(list.length);
  for (const type of list) to.byte(type);
}

function isSame(a: Signature, b: Signature): boolean {
  return a === b || (areSame(a.params, b.params) && areSame(a.results, b.results));
}

function areSame(a: readonly ValueType[], b: readonly ValueType[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

const utf8 = new TextEncoder();

function text(to: Bytes, s: string): void {
  const begin = to.beginLength();
  for (let i = 0; i < s.length; i++) {
    const unit = s.charCodeAt(i);
    if (unit >= 0x80) {
      // From here on; what stands before is ASCII.
      to.append(utf8.encode(s.slice(i)));
      break;
    }
    to.byte(unit);
  }
  to.endLength(begin);
}
