/** The key of BPF_MAP_TYPE_LPM_TRIE. Kernel counterpart: struct bpf_lpm_trie_key_u8. */
import { type AnyCodec, type Codec, type Infer, type InferInput, makeCodec } from "./codec.ts";
import { CodecError, nested, show, wrongType } from "./error.ts";
import { u32 } from "./int.ts";
import type { CompositeLayout } from "./layout.ts";

/** A prefix: the first `prefixLen` bits of `data`. */
export interface LpmKey<T> {
  /** How many bits of `data` count, from the highest bit of its first byte on. */
  prefixLen: number;
  data: T;
}

/** The codec of a trie's key; `data` is that of the part behind the prefix length. */
export interface LpmKeyCodec<D extends AnyCodec> extends Codec<LpmKey<Infer<D>>, Readonly<LpmKey<InferInput<D>>>> {
  readonly data: D;
}

/**
 * The key of a longest-prefix-match trie: a u32 prefix length in bits, little-endian, and right behind it the data.
 * `lpmKey(ipv4)` has `{ prefixLen: 24, data: "10.0.0.0" }`. The trie compares the data's bytes in their order in memory,
 * so integers want `.be`. A `prefixLen` above 8 x the data's size: CodecError.
 */
export function lpmKey<D extends AnyCodec>(data: D): LpmKeyCodec<D> {
  const part = data as unknown as Codec<Infer<D>, InferInput<D>>;
  const most = data.size * 8;
  const dataOffset = u32.size;
  const layout: CompositeLayout = {
    kind: "struct",
    name: "",
    size: dataOffset + data.size,
    align: u32.align,
    lpm: true,
    fields: [
      { name: "prefixLen", offset: 0, layout: u32.layout },
      { name: "data", offset: dataOffset, layout: data.layout },
    ],
  };
  const kind = `lpmKey(${data.kind})`;
  const codec = makeCodec<LpmKey<Infer<D>>, Readonly<LpmKey<InferInput<D>>>>({
    kind,
    layout,
    read: (from, offset) => ({ prefixLen: u32.read(from, offset), data: part.read(from, offset + dataOffset) }),
    write: (to, offset, value) => {
      if (typeof value !== "object" || value === null) throw wrongType(value, kind, "{ prefixLen, data }");
      const { prefixLen, data: address } = value;
      if (prefixLen === undefined) throw new CodecError("missing", `missing for ${kind}`, value, "prefixLen");
      if (address === undefined) throw new CodecError("missing", `missing for ${kind}`, value, "data");
      if (!Number.isInteger(prefixLen) || prefixLen < 0 || prefixLen > most) {
        const detail = `${show(prefixLen)} is no prefix length of ${kind} (0 to ${most} bits)`;
        throw new CodecError(typeof prefixLen === "number" ? "range" : "type", detail, prefixLen, "prefixLen");
      }
      to.view.setUint32(offset, prefixLen, true);
      try {
        part.write(to, offset + dataOffset, address);
      } catch (error) {
        throw nested(error, "data");
      }
      for (const name in value) {
        if (name === "prefixLen" || name === "data") continue;
        throw new CodecError("unknown", `not a field of ${kind}, which has prefixLen, data`, undefined, name);
      }
    },
  });
  return Object.assign(codec, { data });
}
