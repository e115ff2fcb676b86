/** What is known of a call's arguments, as those ask who decide how it is made. */
import { STACK_FRAME } from "../../kern/run_record.ts";
import { OBJECT_NUM } from "../../kern/stack_objects.ts";
import type { Range, ValuePlace } from "../../struct/gen.ts";
import type { CallFacts } from "../facts.ts";
import { packetOk } from "./access.ts";
import type { Context } from "./context.ts";
import type { State } from "./state.ts";
import {
  F_NULL,
  F_WRITE,
  K_CTX,
  K_FUNCTION,
  K_INNER,
  K_MAP,
  K_NUMBER,
  K_OBJECT,
  K_PACKET,
  K_REGION,
  K_STACK,
  type Val,
} from "./value.ts";

const FIRST = 1;
const COUNT = 5;
const WORD = 8;

export class Arguments implements CallFacts {
  readonly #context: Context;
  readonly #given: readonly Val[];
  /** The marks of the objects that these point at. */
  readonly #objects: readonly (Val | undefined)[];
  /** Of callers, that are there at least. */
  readonly #frames: number;

  constructor(context: Context, state: State, frames: number) {
    this.#context = context;
    this.#given = state.regs.slice(FIRST, FIRST + COUNT);
    this.#objects = this.#given.map((v) => markAt(state, v));
    this.#frames = frames;
  }

  map(register: number): number {
    const v = this.#given[register - FIRST]!;
    return v.kind === K_MAP ? v.id : 0;
  }

  outer(register: number): number {
    const v = this.#given[register - FIRST]!;
    return v.kind === K_INNER && (v.flags & F_NULL) === 0 ? v.id : 0;
  }

  range(register: number): Range | undefined {
    const v = this.#given[register - FIRST]!;
    return v.kind === K_NUMBER && v.min >= 0 ? v : undefined;
  }

  func(register: number): number {
    const v = this.#given[register - FIRST]!;
    return v.kind === K_FUNCTION ? v.id : -1;
  }

  object(register: number, kind: number): number {
    const mark = this.#objects[register - FIRST];
    return mark?.size === kind ? mark.id : -1;
  }

  isContext(register: number): boolean {
    const v = this.#given[register - FIRST]!;
    return v.kind === K_CTX && v.min === 0;
  }

  isStackWord(register: number): boolean {
    const v = this.#given[register - FIRST]!;
    return v.kind === K_STACK && v.min === v.max && v.min % 8 === 0;
  }

  value(register: number): ValuePlace | undefined {
    const v = this.#given[register - FIRST]!;
    if (v.kind !== K_REGION || v.room === 0 || v.min !== v.max || (v.flags & (F_NULL | F_WRITE)) !== F_WRITE) {
      return undefined;
    }
    return v.min >= 0 && v.min < v.size ? { map: v.room, offset: v.min } : undefined;
  }

  memory(register: number, size: number, write: boolean): boolean {
    const v = this.#given[register - FIRST]!;
    switch (v.kind) {
      case K_STACK:
        return v.min >= -STACK_FRAME && v.max + size <= this.#frames * STACK_FRAME;
      case K_REGION: {
        const allowed = (v.flags & F_NULL) === 0 && (!write || (v.flags & F_WRITE) !== 0);
        return allowed && v.min >= 0 && v.max + size <= v.size;
      }
      case K_PACKET:
        return packetOk(this.#context, v, 0, size, write);
      default:
        return false;
    }
  }
}

/** The mark of an object that stands, as it was set up, where this points; undefined: it is not known. */
function markAt(state: State, { kind, min, max }: Val): Val | undefined {
  if (kind !== K_STACK || min !== max || min < -STACK_FRAME) return undefined;
  const first = state.get(min, WORD);
  if (first?.kind !== K_OBJECT || first.off !== 0) return undefined;
  if (first.size === OBJECT_NUM) return first;
  const second = state.get(min + WORD, WORD);
  return second?.kind === K_OBJECT && second.id === first.id && second.off === WORD ? first : undefined;
}
