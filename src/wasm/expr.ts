/**
 * Expressions over a function's locals and its memory, so that generated code reads as what it does:
 *
 *     const next = local32(code, node.load(NEXT));
 *     when(next.eqz(), () => out.go());
 *     list.store(HEAD, next);
 *
 * An expression is emitted where it is used, and each time that it is used: what must be computed once, or before
 * something else changes it, goes into a local. A plain number is a constant. Methods that return nothing are statements.
 */
import { type Code, I32, I64 } from "./code.ts";
import * as w from "./opcodes.ts";

export type Operand32 = Expr32 | number;
export type Operand64 = Expr64 | number;

class Expr {
  readonly code: Code;
  /** Leaves the value on the stack. */
  readonly push: () => void;

  constructor(code: Code, push: () => void) {
    this.code = code;
    this.push = push;
  }
}

/** An i32. */
export class Expr32 extends Expr {
  #binary(opcode: number, other: Operand32): Expr32 {
    return new Expr32(this.code, () => {
      this.push();
      push32(this.code, other);
      this.code.op(opcode);
    });
  }

  add(other: Operand32): Expr32 {
    return other === 0 ? this : this.#binary(w.I32_ADD, other);
  }
  sub(other: Operand32): Expr32 {
    return other === 0 ? this : this.#binary(w.I32_SUB, other);
  }
  mul(other: Operand32): Expr32 {
    return this.#binary(w.I32_MUL, other);
  }
  and(other: Operand32): Expr32 {
    return this.#binary(w.I32_AND, other);
  }
  or(other: Operand32): Expr32 {
    return this.#binary(w.I32_OR, other);
  }
  xor(other: Operand32): Expr32 {
    return this.#binary(w.I32_XOR, other);
  }
  shl(other: Operand32): Expr32 {
    return this.#binary(w.I32_SHL, other);
  }
  shrU(other: Operand32): Expr32 {
    return this.#binary(w.I32_SHR_U, other);
  }
  shrS(other: Operand32): Expr32 {
    return this.#binary(w.I32_SHR_S, other);
  }
  rotl(other: Operand32): Expr32 {
    return this.#binary(w.I32_ROTL, other);
  }
  eq(other: Operand32): Expr32 {
    return this.#binary(w.I32_EQ, other);
  }
  ne(other: Operand32): Expr32 {
    return this.#binary(w.I32_NE, other);
  }
  ltU(other: Operand32): Expr32 {
    return this.#binary(w.I32_LT_U, other);
  }
  ltS(other: Operand32): Expr32 {
    return this.#binary(w.I32_LT_S, other);
  }
  leU(other: Operand32): Expr32 {
    return this.#binary(w.I32_LE_U, other);
  }
  gtU(other: Operand32): Expr32 {
    return this.#binary(w.I32_GT_U, other);
  }
  geU(other: Operand32): Expr32 {
    return this.#binary(w.I32_GE_U, other);
  }

  eqz(): Expr32 {
    return new Expr32(this.code, () => {
      this.push();
      this.code.op(w.I32_EQZ);
    });
  }

  /** How many of the highest bits are 0. */
  clz(): Expr32 {
    return new Expr32(this.code, () => {
      this.push();
      this.code.op(w.I32_CLZ);
    });
  }

  extendU(): Expr64 {
    return new Expr64(this.code, () => {
      this.push();
      this.code.op(w.I64_EXTEND_I32_U);
    });
  }

  // As an address. Offsets are added without wrapping.

  #loading(opcode: number, offset: number): () => void {
    return () => {
      this.push();
      this.code.memory(opcode, offset);
    };
  }

  load(offset = 0): Expr32 {
    return new Expr32(this.code, this.#loading(w.I32_LOAD, offset));
  }
  load8(offset = 0): Expr32 {
    return new Expr32(this.code, this.#loading(w.I32_LOAD8_U, offset));
  }
  load16(offset = 0): Expr32 {
    return new Expr32(this.code, this.#loading(w.I32_LOAD16_U, offset));
  }
  load64(offset = 0): Expr64 {
    return new Expr64(this.code, this.#loading(w.I64_LOAD, offset));
  }

  #store(opcode: number, offset: number, value: Operand32): void {
    this.push();
    push32(this.code, value);
    this.code.memory(opcode, offset);
  }

  store(offset: number, value: Operand32): void {
    this.#store(w.I32_STORE, offset, value);
  }
  store8(offset: number, value: Operand32): void {
    this.#store(w.I32_STORE8, offset, value);
  }
  store16(offset: number, value: Operand32): void {
    this.#store(w.I32_STORE16, offset, value);
  }

  store64(offset: number, value: Operand64): void {
    this.push();
    push64(this.code, value);
    this.code.memory(w.I64_STORE, offset);
  }

  // Sequentially consistent; the address with its offset is a multiple of the size.

  atomicLoad(offset = 0): Expr32 {
    return new Expr32(this.code, () => {
      this.push();
      this.code.atomic(w.I32_ATOMIC_LOAD, 4, offset);
    });
  }

  atomicLoad64(offset = 0): Expr64 {
    return new Expr64(this.code, () => {
      this.push();
      this.code.atomic(w.I64_ATOMIC_LOAD, 8, offset);
    });
  }

  atomicStore(offset: number, value: Operand32): void {
    this.push();
    push32(this.code, value);
    this.code.atomic(w.I32_ATOMIC_STORE, 4, offset);
  }

  atomicStore64(offset: number, value: Operand64): void {
    this.push();
    push64(this.code, value);
    this.code.atomic(w.I64_ATOMIC_STORE, 8, offset);
  }

  /** What was there before. `opcode`: ATOMIC_ADD, ATOMIC_XCHG and so on. */
  atomic(opcode: number, offset: number, value: Operand32): Expr32 {
    return new Expr32(this.code, () => {
      this.push();
      push32(this.code, value);
      this.code.atomic(opcode, 4, offset);
    });
  }

  /** What was there before: `replacement` is stored where that is `expected`. */
  cmpxchg(offset: number, expected: Operand32, replacement: Operand32): Expr32 {
    return new Expr32(this.code, () => {
      this.push();
      push32(this.code, expected);
      push32(this.code, replacement);
      this.code.atomic(w.ATOMIC_CMPXCHG, 4, offset);
    });
  }
}

/** An i64. */
export class Expr64 extends Expr {
  #with(opcode: number, other: Operand64): () => void {
    return () => {
      this.push();
      push64(this.code, other);
      this.code.op(opcode);
    };
  }

  #binary(opcode: number, other: Operand64): Expr64 {
    return new Expr64(this.code, this.#with(opcode, other));
  }
  #compare(opcode: number, other: Operand64): Expr32 {
    return new Expr32(this.code, this.#with(opcode, other));
  }
  add(other: Operand64): Expr64 {
    return this.#binary(w.I64_ADD, other);
  }
  sub(other: Operand64): Expr64 {
    return this.#binary(w.I64_SUB, other);
  }
  mul(other: Operand64): Expr64 {
    return this.#binary(w.I64_MUL, other);
  }
  and(other: Operand64): Expr64 {
    return this.#binary(w.I64_AND, other);
  }
  or(other: Operand64): Expr64 {
    return this.#binary(w.I64_OR, other);
  }
  xor(other: Operand64): Expr64 {
    return this.#binary(w.I64_XOR, other);
  }
  shl(other: Operand64): Expr64 {
    return this.#binary(w.I64_SHL, other);
  }
  shrU(other: Operand64): Expr64 {
    return this.#binary(w.I64_SHR_U, other);
  }
  rotl(other: Operand64): Expr64 {
    return this.#binary(w.I64_ROTL, other);
  }
  eq(other: Operand64): Expr32 {
    return this.#compare(w.I64_EQ, other);
  }
  ne(other: Operand64): Expr32 {
    return this.#compare(w.I64_NE, other);
  }
  ltU(other: Operand64): Expr32 {
    return this.#compare(w.I64_LT_U, other);
  }
  ltS(other: Operand64): Expr32 {
    return this.#compare(w.I64_LT_S, other);
  }
  leU(other: Operand64): Expr32 {
    return this.#compare(w.I64_LE_U, other);
  }

  eqz(): Expr32 {
    return new Expr32(this.code, () => {
      this.push();
      this.code.op(w.I64_EQZ);
    });
  }

  /** The lower half. */
  wrap(): Expr32 {
    return new Expr32(this.code, () => {
      this.push();
      this.code.op(w.I32_WRAP_I64);
    });
  }
}

/** A local or parameter of type i32. */
export class Local32 extends Expr32 {
  readonly index: number;

  constructor(code: Code, index: number) {
    super(code, () => code.get(index));
    this.index = index;
  }

  set(value: Operand32): void {
    push32(this.code, value);
    this.code.set(this.index);
  }
}

/** A local or parameter of type i64. */
export class Local64 extends Expr64 {
  readonly index: number;

  constructor(code: Code, index: number) {
    super(code, () => code.get(index));
    this.index = index;
  }

  set(value: Operand64): void {
    push64(this.code, value);
    this.code.set(this.index);
  }
}

/** A new local, set to the value where there is one. */
export function local32(code: Code, value?: Operand32): Local32 {
  const local = new Local32(code, code.local(I32));
  if (value !== undefined) local.set(value);
  return local;
}

export function local64(code: Code, value?: Operand64): Local64 {
  const local = new Local64(code, code.local(I64));
  if (value !== undefined) local.set(value);
  return local;
}

/** A constant where an expression is wanted: an address. */
export function const32(code: Code, value: number): Expr32 {
  return new Expr32(code, () => code.i32(value));
}

/** The u64 of these halves. */
export function pair(code: Code, low: Operand32, high: Operand32): Expr64 {
  if (typeof low === "number" && typeof high === "number") return new Expr64(code, () => code.i64(low, high));
  const wide = (half: Operand32): Expr64 => (typeof half === "number" ? const32(code, half) : half).extendU();
  return wide(high).shl(32).or(wide(low));
}

export function push32(code: Code, value: Operand32): void {
  if (typeof value === "number") code.i32(value);
  else value.push();
}

export function push64(code: Code, value: Operand64): void {
  if (typeof value === "number") code.i64(value | 0, Math.floor(value / 2 ** 32) | 0);
  else value.push();
}

/** One of two values, both of which are computed: no branch. */
export function select(condition: Expr32, yes: Operand32, no: Operand32): Expr32 {
  const { code } = condition;
  return new Expr32(code, () => {
    push32(code, yes);
    push32(code, no);
    condition.push();
    code.op(w.SELECT);
  });
}

export function when(condition: Expr32, then: () => void, otherwise?: () => void): void {
  const { code } = condition;
  condition.push();
  code.open(w.IF);
  then();
  if (otherwise !== undefined) {
    code.op(w.ELSE);
    otherwise();
  }
  code.end();
}

/** A way out of a block, or back to the head of a loop. */
export class Exit {
  readonly #code: Code;
  readonly #level: number;

  constructor(code: Code, level: number) {
    this.#code = code;
    this.#level = level;
  }

  go(): void {
    this.#code.br(this.#level);
  }

  when(condition: Expr32): void {
    condition.push();
    this.#code.br(this.#level, true);
  }
}

export function block(code: Code, body: (out: Exit) => void): void {
  body(new Exit(code, code.open()));
  code.end();
}

/** Goes on behind it unless `again` is taken. */
export function loop(code: Code, body: (again: Exit) => void): void {
  body(new Exit(code, code.loop()));
  code.end();
}

/** One of two values, of which only that one is computed. */
export function choose(condition: Expr32, yes: () => Operand32, no: () => Operand32): Expr32 {
  const { code } = condition;
  return new Expr32(code, () => {
    condition.push();
    code.open(w.IF, I32);
    push32(code, yes());
    code.op(w.ELSE);
    push32(code, no());
    code.end();
  });
}

/** A block with a value: what `end` is given, or what the body comes to. */
export function blockValue(code: Code, body: (end: (value: Operand32) => void) => Operand32): Expr32 {
  return new Expr32(code, () => {
    const level = code.open(w.BLOCK, I32);
    const last = body((value) => {
      push32(code, value);
      code.br(level);
    });
    push32(code, last);
    code.end();
  });
}
