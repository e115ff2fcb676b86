/**
 * The language of the conformance tables: plain data, so that a case runs on every host, in every form of the calls, and
 * in other places (documents, a browser) as well. What a step expects is what Linux 6.18 answers.
 */

/** An errno as the kernel returns it. Misspelled ones are found when the tables are loaded. */
export type Errno = `-E${string}`;

/** 0, or the errno that the call must give. */
export type Result = 0 | Errno;

/**
 * A key or value. A number is written little-endian into all of the key or value; text is hex, zero-padded on the right.
 * `10.1.0.0/16` and `0a01/16` are the keys of an LPM trie. A list is one entry a CPU, slots without one are zero; for
 * per-CPU types anything but a list is written to every CPU's slot. `$name` is the fd of what was opened under that name,
 * `#name` its id.
 */
export type Data = Scalar | readonly Scalar[];
export type Scalar = number | bigint | string;

/** Flags by the kernel's names, joined by `|`, or their number. */
export type Flags = `BPF_${string}` | number | bigint;

/** Attributes of MAP_CREATE that differ from the table's. `$name` is the fd of what was opened under that name. */
export interface MapAttr {
  readonly map_type?: MapTypeName | number;
  readonly key_size?: number;
  readonly value_size?: number;
  readonly max_entries?: number;
  readonly map_flags?: Flags;
  readonly [field: string]: Field | undefined;
}

export type MapTypeName = `BPF_MAP_TYPE_${string}`;

/**
 * A field of a call's attributes: a number; `BPF_…` constants; `$name` (an fd), `#name` (an id), `#name-1`; `BAD`, an
 * address in nobody's memory; or a buffer. A field named `@24` is the byte at offset 24.
 */
export type Field = number | bigint | string | Buffer;

/** Bytes in hex, `length` bytes of 0xee, or u32 words, which may be `$name` and `#name`. */
export type Buffer = { readonly hex: string } | { readonly length: number } | Words;

export interface Words {
  readonly words: readonly (number | string)[];
}

export interface Fields {
  readonly [field: string]: Field;
}

export interface CallOptions {
  /** How much of the attributes counts. */
  readonly size?: number;
  /** What must be in output fields and buffers afterwards: a number, hex, or `?` for anything. What is not named must be unchanged. */
  readonly out?: { readonly [field: string]: number | string | Words };
}

/** The fields of bpf_map_info that differ from the map's attributes. `#name` is an id; what is not named is zero. */
export interface InfoFields {
  readonly [field: string]: number | bigint | string;
}

/** The protections of mmap(2), by letters. */
export const PROT = { none: 0, r: 1, w: 2, rw: 3, rx: 5, rwx: 7 } as const;

export type MapAt = bigint | "same" | "behind";

/** A program of one instruction for each of the maps that it names. */
export interface ProgramSpec {
  readonly maps?: readonly string[];
  readonly flags?: Flags;
  readonly attachType?: Flags;
}

export type Step =
  /** Creates another map with the table's and case's attributes and these. It stays open only if it is given a name. */
  | readonly ["create", attr: MapAttr, result: Result, name?: string]
  /** Creates a map with these attributes alone. */
  | readonly ["map", name: string, attr: MapAttr]
  /** Loads a program that returns XDP_PASS under this name. */
  | readonly ["prog", name: string, program?: ProgramSpec, result?: Result]
  /** For each of the 32 flags alone, added to the case's own: allowed, or the errno, -EINVAL when it is not named. */
  | readonly ["create flags", allowed: Flags, refused?: Readonly<Record<`BPF_F_${string}`, Errno>>]
  /** Tries values of one attribute. */
  | readonly ["create each", attribute: string, tries: readonly (readonly [value: number, result: Result])[]]
  /** Of all bytes but NUL, those that a name may have, in hex. */
  | readonly ["create names", bytes: string]
  | readonly ["update", key: Data, value: Data, flags: Flags, result: Result]
  | readonly ["lookup", key: Data, result: Data | Errno]
  | readonly ["delete", key: Data, result: Result]
  /** LOOKUP_AND_DELETE. */
  | readonly ["take", key: Data, result: Data | Errno]
  /** GET_NEXT_KEY; null asks for the first. */
  | readonly ["next", key: Data | null, result: Data | Errno]
  /** All keys in the order of iteration. */
  | readonly ["keys", keys: readonly Data[]]
  /** Updates every number from first to last, key and value. */
  | readonly ["fill", first: number, last: number, result: Result]
  | readonly ["push", value: Data, result: Result, flags?: Flags]
  /** Push with BPF_EXIST: a full map drops its oldest element. */
  | readonly ["push!", value: Data, result: Result]
  | readonly ["pop", result: Data | Errno]
  | readonly ["peek", result: Data | Errno]
  /** Asks a bloom filter. */
  | readonly ["member", value: Data, result: Result]
  | readonly ["push each", first: number, last: number, result: Result]
  /** Asks about every number from first to last: those that seem to be there. */
  | readonly ["members", first: number, last: number, found: "all" | readonly number[]]
  | readonly ["freeze", result: Result]
  | readonly ["info", fields: InfoFields]
  /** The lines of the fd in /proc/self/fdinfo: `memlock`, and what differs from the map's attributes. */
  | readonly ["fdinfo", memlock: number, lines?: Readonly<Record<string, string>>]
  /** Another fd of the map in use, by its id, with these open_flags; from then on it is the one in use. */
  | readonly ["open", name: string, flags: Flags, result: Result]
  /** The map that was opened under this name is the one in use. The case's own is `map`. */
  | readonly ["use", name: string]
  | readonly ["close", name: string, result: Result]
  /** Loads the BTF of `btf_types.ts` under this name. */
  | readonly ["btf", name: string]
  /**
   * BTF_LOAD of a shape from `field_shapes.ts`: the errno; or a map of the table's type is made with it, all bytes of an
   * element are written as 0xff, and what is read back, special fields in brackets: `8 (4) 20` for ff * 8, 00 * 4, ff * 20.
   * `types`: what MAP_CREATE of others gives.
   */
  | readonly ["shape", name: string, result: Errno | string, types?: Readonly<Record<string, Result>>]
  /** Any command, in whatever form the run uses; `object` and `raw` always use that form. */
  | readonly [
      "call" | "object" | "raw",
      command: `BPF_${string}` | number,
      fields: Fields,
      result: Result,
      options?: CallOptions,
    ]
  /** The attributes at an address, or `BAD`. */
  | readonly ["at", command: `BPF_${string}` | number, address: number | "BAD", size: number, result: Result]
  /** The key's bytes and the other pointer are one buffer; what is in it afterwards. */
  | readonly ["same buffer", command: `BPF_${string}`, hex: string, result: Result, after: string]
  /** A whole info struct of this length: the length that comes back. */
  | readonly ["info length", length: number, result: number | Errno]
  /** The SHA-256 of the map's contents. */
  | readonly ["info hash", result: string]
  /**
   * From then on the mapping in use. `at`: the address that is asked for; `same`: where the last one was (also when it is
   * ended), `behind`: a page further.
   */
  | readonly ["mmap", offset: number, length: number, prot: keyof typeof PROT, result: Result, at?: MapAt]
  /** The mapping in use is the one that the case's mmap number `index` made, of those that succeeded, from 0 on. */
  | readonly ["use mapping", index: number]
  | readonly ["munmap", result: Result]
  /** What is in the mapping at this offset, in hex. */
  | readonly ["bytes", offset: number, hex: string]
  | readonly ["store", offset: number, hex: string]
  /** An update or a lookup of this key whose value lies in the mapping, at this offset. */
  | readonly ["mapped value", op: "update" | "lookup", key: Data, offset: number, result: Result]
  /** OBJ_PIN of the map in use, or of `bpf_fd`. A path begins at the mount; with `=` before it, it stands as it is. */
  | readonly ["pin", path: string, result: Result, fields?: Fields]
  /** OBJ_GET. With a name the map is known by it, and in use; without it is closed. */
  | readonly ["get", path: string, result: Result, fields?: Fields, name?: string]
  | readonly ["mkdir" | "rmdir" | "unlink", path: string, result: Result]
  | readonly ["rename", from: string, to: string, result: Result]
  /** What a directory holds, in any order. */
  | readonly ["readdir", path: string, names: readonly string[] | Errno]
  /** The fd of a directory, as `$name`. */
  | readonly ["opendir", name: string, path: string, result: Result]
  /** Whether poll(2) finds the map ready (readable, or in error). */
  | readonly ["poll", ready: boolean];

export interface Case {
  /** `type.what.detail`; stays the same when the table changes. */
  readonly id: string;
  readonly attr?: MapAttr;
  /** Attributes of a map that is made first, with these alone; it is `inner`. */
  readonly inner?: MapAttr;
  /** The case makes its maps itself. */
  readonly noMap?: true;
  /** The answers are those of a machine with this many possible CPUs. */
  readonly cpus?: number;
  readonly steps: readonly Step[];
}

export interface Table {
  readonly name: string;
  /** It needs a bpffs of its own, which is emptied after each case. */
  readonly bpffs?: true;
  readonly attr: MapAttr & { readonly map_type: MapTypeName };
  readonly inner?: MapAttr;
  readonly cases: readonly Case[];
}

/** The table of a map type. */
export interface MapTable {
  readonly type: MapTypeName;
  readonly attr: MapAttr;
  /** For types that hold maps: see `Case`. */
  readonly inner?: MapAttr;
  readonly cases: readonly Case[];
}
