/** Where C puts the members of a struct: System V and BPF rules, the same for clang's x86-64 and bpf targets. */
import { type BitField, isBitField } from "./bits.ts";
import type { AnyCodec } from "./codec.ts";
import type { FieldLayout } from "./layout.ts";

/** A codec, or `bits(...)`. */
export type FieldType = AnyCodec | BitField<unknown>;

/** A member with its place, in bits from the start of the struct. */
export interface PlacedField {
  readonly name: string;
  readonly bitOffset: number;
  readonly type: FieldType;
}

export interface Placement {
  readonly fields: readonly PlacedField[];
  /** Bytes. */
  readonly size: number;
  readonly align: number;
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/** One member after the other. `packed` drops all alignment; `align` (bytes) raises that of the whole. */
export function placeStruct(fields: Readonly<Record<string, FieldType>>, packed: boolean, minAlign: number): Placement {
  const placed: PlacedField[] = [];
  let end = 0;
  let align = minAlign;
  for (const [name, type] of Object.entries(fields)) {
    const whole = isBitField(type) ? type.base : type;
    const width = isBitField(type) ? type.width : type.size * 8;
    if (!packed) {
      align = Math.max(align, whole.align);
      const unit = isBitField(type) ? whole.size * 8 : whole.align * 8;
      // A bit field moves on only when it would cross a boundary of its type.
      if (!isBitField(type) || Math.floor(end / unit) !== Math.floor((end + width - 1) / unit))
        end = roundUp(end, unit);
    } else if (!isBitField(type)) {
      end = roundUp(end, 8);
    }
    placed.push({ name, bitOffset: end, type });
    end += width;
  }
  return { fields: placed, size: roundUp(Math.ceil(end / 8), align), align };
}

/** All members at the start. */
export function placeUnion(members: Readonly<Record<string, AnyCodec>>, packed: boolean, minAlign: number): Placement {
  let size = 0;
  let align = minAlign;
  const fields = Object.entries(members).map(([name, type]) => {
    size = Math.max(size, type.size);
    if (!packed) align = Math.max(align, type.align);
    return { name, bitOffset: 0, type };
  });
  return { fields, size: roundUp(size, align), align };
}

/** The plain data for a placed member. */
export function fieldLayout({ name, bitOffset, type }: PlacedField): FieldLayout {
  const offset = Math.floor(bitOffset / 8);
  if (!isBitField(type)) return { name, offset, layout: type.layout };
  return { name, offset, layout: type.base.layout, bits: { offset: bitOffset, width: type.width } };
}
