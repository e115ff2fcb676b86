/** The values of per-CPU maps: one shape for reading and writing. */
import { rup8 } from "../../mem/layout.ts";
import { CodecBuffer } from "./buffer.ts";
import { type AnyCodec, type Codec, type Column, columnsOf } from "./codec.ts";
import { CodecError, nested, wrongType } from "./error.ts";
import { isDecodedUnion, type UnionMembers, type UnionValue } from "./union.ts";

/**
 * Numbers of a value, added up: of a struct its numeric fields, of an array its elements. Text, flags, bytes, enums and
 * unions have none.
 */
export type Totals<V> = [V] extends [number]
  ? number
  : [V] extends [bigint]
    ? bigint
    : [V] extends [Uint8Array | UnionValue<UnionMembers>]
      ? undefined
      : [V] extends [readonly (infer E)[]]
        ? Totals<E>[]
        : [V] extends [object]
          ? { [K in keyof V as Totals<V[K]> extends undefined ? never : K]: Totals<V[K]> }
          : undefined;

/** Bytes from one CPU's value to the next: the size rounded up to 8. */
export function perCpuStride(size: number): number {
  return rup8(size);
}

/**
 * One value for each possible CPU. What a per-CPU map returns and what it takes; `perCpu(...)` makes one. Values that
 * come out of a map are decoded when they are asked for.
 */
export abstract class PerCpu<V> implements Iterable<V> {
  /** How many CPUs. */
  abstract readonly length: number;
  protected abstract at(cpu: number): V;
  /** There is at least one CPU. */
  protected abstract total(op: Combine): unknown;

  /** The value of one CPU, 0 to `length - 1`. Any other: RangeError. */
  get(cpu: number): V {
    if (Number.isInteger(cpu) && cpu >= 0 && cpu < this.length) return this.at(cpu);
    throw new RangeError(`CPU ${cpu}: there are 0 to ${this.length - 1}`);
  }

  *[Symbol.iterator](): Generator<V, void, undefined> {
    for (let cpu = 0; cpu < this.length; cpu++) yield this.at(cpu);
  }

  /** An array of what `fn` makes of each CPU's value. */
  map<U>(fn: (value: V, cpu: number) => U): U[] {
    const mapped: U[] = [];
    for (let cpu = 0; cpu < this.length; cpu++) mapped.push(fn(this.at(cpu), cpu));
    return mapped;
  }

  /** `fn` over all CPUs, from CPU 0 up. */
  reduce<A>(fn: (total: A, value: V, cpu: number) => A, initial: A): A {
    let total = initial;
    for (let cpu = 0; cpu < this.length; cpu++) total = fn(total, this.at(cpu), cpu);
    return total;
  }

  /** All values, decoded, in an array of the caller's. */
  toArray(): V[] {
    return this.map((value) => value);
  }

  /** All CPUs together: numbers added, bigints without wrapping at 2^64, structs and arrays member by member. */
  sum(): Totals<V> {
    return this.#combine(add);
  }

  /** The largest of each number, structs and arrays member by member. */
  max(): Totals<V> {
    return this.#combine(larger);
  }

  toJSON(): V[] {
    return this.toArray();
  }

  #combine(op: Combine): Totals<V> {
    if (this.length === 0) throw new RangeError("no CPUs to combine");
    return this.total(op) as Totals<V>;
  }
}

// What console.log shows in Node. Not written as a member: the type of a class has no place for such a name.
Object.defineProperty(PerCpu.prototype, Symbol.for("nodejs.util.inspect.custom"), {
  configurable: true,
  value(this: PerCpu<unknown>): unknown {
    return this.toArray();
  },
});

type Combine = <N extends number | bigint>(a: N, b: N) => N;

const add: Combine = (a, b) => ((a as number) + (b as number)) as typeof a;
// biome-ignore lint/complexity/useMathMinMax: bigints too, which Math.max refuses
const larger: Combine = (a, b) => (a > b ? a : b);

/** The numeric parts of a value, as `Totals` says; undefined where there are none. */
function numbersOf(value: unknown): unknown {
  if (typeof value === "number" || typeof value === "bigint") return value;
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || isDecodedUnion(value))
    return undefined;
  if (Array.isArray(value)) return value.map(numbersOf);
  const numbers: Record<string, unknown> = {};
  for (const name in value) {
    const part = numbersOf((value as Record<string, unknown>)[name]);
    if (part !== undefined) numbers[name] = part;
  }
  return numbers;
}

/** `total` as `numbersOf` made it, joined with another value of the same type. */
function combined(total: unknown, value: unknown, op: Combine): unknown {
  if (typeof total === "number") return typeof value === "number" ? op(total, value) : total;
  if (typeof total === "bigint") return typeof value === "bigint" ? op(total, value) : total;
  if (Array.isArray(total)) {
    const values = value as unknown[];
    for (let i = 0; i < total.length; i++) total[i] = combined(total[i], values[i], op);
    return total;
  }
  if (typeof total !== "object" || total === null) return undefined;
  const parts = total as Record<string, unknown>;
  for (const name in parts) parts[name] = combined(parts[name], (value as Record<string, unknown>)[name], op);
  return parts;
}

/** Over the bytes that a map gave. */
class DecodedPerCpu<V> extends PerCpu<V> {
  readonly length: number;
  readonly #codec: Codec<V, never>;
  readonly #buffer: CodecBuffer;
  readonly #stride: number;

  constructor(codec: Codec<V, never>, bytes: Uint8Array) {
    super();
    this.#codec = codec;
    this.#buffer = new CodecBuffer(bytes);
    this.#stride = perCpuStride(codec.size);
    this.length = this.#stride === 0 ? 0 : Math.floor(bytes.length / this.#stride);
  }

  protected at(cpu: number): V {
    try {
      return this.#codec.read(this.#buffer, cpu * this.#stride);
    } catch (error) {
      throw nested(error, `[${cpu}]`);
    }
  }

  protected total(op: Combine): unknown {
    return this.#totalOf(this.#codec, this.#codec.read, 0, op);
  }

  /** Field by field over all CPUs, so that no CPU's value is built as an object. */
  #totalOf(codec: AnyCodec | undefined, read: Column["read"], offset: number, op: Combine): unknown {
    // A number here and a name there: names have no total.
    if (codec !== undefined && codec.layout.kind === "enum") return undefined;
    const columns = codec === undefined ? undefined : columnsOf(codec);
    if (columns !== undefined) {
      const totals: Record<string, unknown> = {};
      for (const column of columns) {
        const part = this.#totalOf(column.codec, column.read, offset + column.offset, op);
        if (part !== undefined) totals[column.name] = part;
      }
      return totals;
    }
    const buffer = this.#buffer;
    let total = numbersOf(read(buffer, offset));
    if (total === undefined) return undefined;
    for (let cpu = 1; cpu < this.length; cpu++) total = combined(total, read(buffer, offset + cpu * this.#stride), op);
    return total;
  }
}

/** Values that somebody wants to put into a map. */
class GivenPerCpu<V> extends PerCpu<V> {
  readonly length: number;
  readonly #values: readonly V[];

  constructor(values: readonly V[]) {
    super();
    this.#values = values;
    this.length = values.length;
  }

  protected at(cpu: number): V {
    return this.#values[cpu]!;
  }

  protected total(op: Combine): unknown {
    return this.#values.slice(1).reduce((total, value) => combined(total, value, op), numbersOf(this.#values[0]));
  }
}

/**
 * Values to put into a per-CPU map: one for each possible CPU in order, or one for all of them. A single object with
 * exactly the fields `cpus` and `all` is the second form.
 *
 *     counters.set(0, perCpu(1n, 2n, 3n, 4n));
 *     counters.set(0, perCpu({ cpus: 4, all: 0n }));
 */
export function perCpu<V>(all: { readonly cpus: number; readonly all: V }): PerCpu<V>;
export function perCpu<V>(...values: readonly V[]): PerCpu<V>;
export function perCpu(...values: readonly unknown[]): PerCpu<unknown> {
  const [first] = values;
  if (values.length !== 1 || !isForAll(first)) return new GivenPerCpu(values);
  const { cpus, all } = first;
  if (!Number.isInteger(cpus) || cpus < 1) {
    throw new CodecError("range", `${String(cpus)} is no number of CPUs`, cpus, "cpus");
  }
  return new GivenPerCpu(new Array<unknown>(cpus).fill(all));
}

function isForAll(value: unknown): value is { readonly cpus: number; readonly all: unknown } {
  if (typeof value !== "object" || value === null || Object.keys(value).length !== 2) return false;
  return "cpus" in value && "all" in value;
}

/**
 * The per-CPU value in `bytes` (one value every `perCpuStride(codec.size)` bytes). `bytes` is kept, not copied: hand
 * over a private buffer.
 */
export function decodePerCpu<V>(codec: Codec<V, never>, bytes: Uint8Array): PerCpu<V> {
  return new DecodedPerCpu(codec, bytes);
}

/**
 * Writes `value` at `offset`, one CPU after the other, gaps as zeros. Another number of CPUs than `cpus`: CodecError with
 * the CPU as `[2]` in the path.
 */
export function writePerCpu<In>(
  codec: Codec<unknown, In>,
  to: CodecBuffer,
  offset: number,
  value: PerCpu<In>,
  cpus: number,
): void {
  if (!(value instanceof PerCpu)) throw wrongType(value, "a per-CPU map", "a PerCpu", "write perCpu(...)");
  if (value.length !== cpus) {
    if (lacksCpus(value)) throw missingCpus(value, cpus);
    const hint = `write perCpu with ${cpus} values, or perCpu({ cpus: ${cpus}, all: value })`;
    throw new CodecError("range", `${value.length} CPUs, the map has ${cpus}; ${hint}`, value);
  }
  const stride = perCpuStride(codec.size);
  let cpu = 0;
  try {
    for (; cpu < cpus; cpu++) {
      const start = offset + cpu * stride;
      codec.write(to, start, value.get(cpu));
      if (codec.size < stride) to.bytes.fill(0, start + codec.size, start + stride);
    }
  } catch (error) {
    // A struct whose only field is `all` would have been fine, so what it is shows here alone.
    if (error instanceof CodecError && error.path === "" && lacksCpus(value)) throw missingCpus(value, cpus);
    throw nested(error, `[${cpu}]`);
  }
}

/** `perCpu({ all })`: a value of one CPU to `perCpu`, and hardly what was meant. */
function lacksCpus(value: unknown): boolean {
  if (!(value instanceof GivenPerCpu) || value.length !== 1) return false;
  const only: unknown = value.get(0);
  return typeof only === "object" && only !== null && Object.keys(only).join() === "all";
}

function missingCpus(value: unknown, cpus: number): CodecError {
  return new CodecError("missing", `\`cpus\` is missing; write perCpu({ cpus: ${cpus}, all: value })`, value);
}
