/** The BTF that the cases load: a type for each kind of key and value that MAP_CREATE judges. */
import { BtfBuilder } from "../../src/btf/builder.ts";

const builder = new BtfBuilder();
const u32 = builder.int("unsigned int", 4);
const u64 = builder.int("unsigned long", 8);
const narrow = builder.int("narrow", 4, { bits: 16 });
const u8 = builder.int("unsigned char", 1);
const u16 = builder.int("unsigned short", 2);
const member = (name: string, typeId: number, byte: number): { name: string; typeId: number; bitOffset: number } => ({
  name,
  typeId,
  bitOffset: byte * 8,
});
const pair = builder.struct("pair", 16, [member("a", u64, 0), member("b", u64, 8)]);
const bytes4 = builder.array(u8, u32, 4);
const prefix = builder.struct("prefix", 8, [member("prefixlen", u32, 0), member("data", bytes4, 4)]);
const key4 = builder.struct("key4", 4, [member("a", u32, 0)]);
const typedef = builder.typedef("index_t", u32);
const constU32 = builder.const(u32);
const forward = builder.fwd("unknown", "struct");
const state = builder.enum("state", [{ name: "OFF", value: 0 }]);
const pointer = builder.ptr(pair);
const variable = builder.var("counter", pair);
const section = builder.datasec(".bss", 16, [{ typeId: variable, offset: 0, size: 16 }]);
const lock = builder.struct("bpf_spin_lock", 4, [member("val", u32, 0)]);
const locked = builder.struct("locked", 16, [member("lock", lock, 0), member("n", u32, 4), member("m", u64, 8)]);
const prefixName = builder.typedef("prefix_t", prefix);
const constPrefix = builder.const(prefixName);
const prefixUnion = builder.union("prefix_u", 8, [member("whole", u64, 0), member("parts", prefix, 0)]);
const prefixVariable = builder.var("net", prefixName);
const indexVariable = builder.var("index", u32);
const i32 = builder.int("int", 4, { signed: true });
const constIndex = builder.const(typedef);
const enumName = builder.typedef("state_t", state);
const timer = builder.struct("bpf_timer", 16, [member("a", u64, 0), member("b", u64, 8)]);
const timed = builder.struct("timed", 32, [member("a", u64, 0), member("timer", timer, 8), member("b", u64, 24)]);
const owned = builder.ptr(builder.typeTag("kptr", pair));
const pointed = builder.struct("pointed", 24, [member("a", u64, 0), member("k", owned, 8), member("b", u64, 16)]);
const resLock = builder.struct("bpf_res_spin_lock", 4, [member("val", u32, 0)]);
const resLocked = builder.struct("resLocked", 32, [member("lock", resLock, 0), member("n", u64, 8)]);

export const btfBytes: Uint8Array = builder.build();

/** In tables: `type:pair`. */
export const typeIds: Readonly<Record<string, number>> = {
  u32,
  u64,
  u8,
  u16,
  narrow,
  pair,
  bytes4,
  prefix,
  key4,
  typedef,
  constU32,
  forward,
  state,
  pointer,
  variable,
  section,
  locked,
  timed,
  resLocked,
  pointed,
  prefixName,
  constPrefix,
  prefixUnion,
  prefixVariable,
  indexVariable,
  i32,
  constIndex,
  enumName,
  /** No type has this number. */
  none: section + 1000,
};
