/** Arrays of a fixed length. */
import { type AnyCodec, type Codec, checkLength, type Infer, type InferInput, makeCodec } from "./codec.ts";
import { CodecError, nested, wrongType } from "./error.ts";
import { describeLayout } from "./layout.ts";

/** `element[length]` of C. Decoding gives an ordinary array, encoding takes one of exactly that length. */
export interface ArrayCodec<E extends AnyCodec> extends Codec<Infer<E>[], readonly InferInput<E>[]> {
  readonly element: E;
  readonly length: number;
}

/** `array(u64, 64)` is `__u64[64]`; `array(array(u8, 2), 3)` is `__u8[3][2]`. */
export function array<E extends AnyCodec>(element: E, length: number): ArrayCodec<E> {
  checkLength(length, "array");
  const { size: stride } = element;
  checkLength(length * stride, "array");
  // The loops below see values without their types; the types of `ArrayCodec` hold for what goes in and out.
  const each = element as unknown as Codec<Infer<E>, InferInput<E>>;
  const layout = {
    kind: "array",
    size: stride * length,
    align: element.align,
    element: element.layout,
    length,
  } as const;
  const kind = describeLayout(layout);
  const codec = makeCodec<Infer<E>[], readonly InferInput<E>[]>({
    kind,
    layout,
    read: (from, offset) => {
      const values: Infer<E>[] = [];
      let i = 0;
      try {
        for (; i < length; i++) values.push(each.read(from, offset + i * stride));
      } catch (error) {
        throw nested(error, `[${i}]`);
      }
      return values;
    },
    write: (to, offset, value) => {
      if (!Array.isArray(value)) throw wrongType(value, kind, "an array");
      if (value.length !== length) {
        throw new CodecError("range", `${value.length} elements; ${kind} takes exactly ${length}`, value);
      }
      let i = 0;
      try {
        for (; i < length; i++) each.write(to, offset + i * stride, value[i]);
      } catch (error) {
        throw nested(error, `[${i}]`);
      }
    },
  });
  return Object.assign(codec, { element, length });
}
