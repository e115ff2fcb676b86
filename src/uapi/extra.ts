/** Numbers of the UAPI that are preprocessor constants in C, so that BTF does not carry them. Values of Linux 6.18. */
import {
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SK_MSG,
  BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_XDP,
  xdpActionNames,
} from "./constants.gen.ts";

// How a 64-bit load of an immediate (BPF_LD | BPF_IMM | BPF_DW) is to be read: its src_reg field.
/** imm is a map's fd. */
export const BPF_PSEUDO_MAP_FD = 1;
/** imm is a map's fd, the next imm an offset into its only value. */
export const BPF_PSEUDO_MAP_VALUE = 2;
/** imm is the BTF id of a kernel variable, the next imm a BTF object's fd (0: vmlinux). */
export const BPF_PSEUDO_BTF_ID = 3;
/** imm is the distance to a function of the same program. */
export const BPF_PSEUDO_FUNC = 4;
/** imm is an index into fd_array. */
export const BPF_PSEUDO_MAP_IDX = 5;
/** imm is an index into fd_array, the next imm an offset into the map's only value. */
export const BPF_PSEUDO_MAP_IDX_VALUE = 6;

// What a call instruction calls: its src_reg field. 0 is a helper.
/** imm is the distance to a function of the same program. */
export const BPF_PSEUDO_CALL = 1;
/** imm is the BTF id of a kernel function. */
export const BPF_PSEUDO_KFUNC_CALL = 2;

// prog_flags of BPF_PROG_LOAD.
export const BPF_F_STRICT_ALIGNMENT = 0x1;
export const BPF_F_ANY_ALIGNMENT = 0x2;
export const BPF_F_TEST_RND_HI32 = 0x4;
export const BPF_F_TEST_STATE_FREQ = 0x8;
export const BPF_F_SLEEPABLE = 0x10;
export const BPF_F_XDP_HAS_FRAGS = 0x20;
export const BPF_F_XDP_DEV_BOUND_ONLY = 0x40;
export const BPF_F_TEST_REG_INVARIANTS = 0x80;

// attach_flags of BPF_PROG_ATTACH, flags of BPF_LINK_CREATE and BPF_LINK_UPDATE.
export const BPF_F_ALLOW_OVERRIDE = 0x1;
export const BPF_F_ALLOW_MULTI = 0x2;
export const BPF_F_REPLACE = 0x4;
export const BPF_F_BEFORE = 0x8;
export const BPF_F_AFTER = 0x10;
export const BPF_F_ID = 0x20;
export const BPF_F_PREORDER = 0x40;

// flags of BPF_PROG_TEST_RUN.
export const BPF_F_TEST_RUN_ON_CPU = 0x1;
export const BPF_F_TEST_XDP_LIVE_FRAMES = 0x2;
export const BPF_F_TEST_SKB_CHECKSUM_COMPLETE = 0x4;

// query_flags of BPF_PROG_QUERY.
export const BPF_F_QUERY_EFFECTIVE = 0x1;

// prot of mmap().
export const PROT_READ = 0x1;
export const PROT_WRITE = 0x2;
export const PROT_EXEC = 0x4;

// Sizes and limits.
/** Bytes of map_name and prog_name, the final NUL included. */
export const BPF_OBJ_NAME_LEN = 16;
/** Bytes of a program's tag. */
export const BPF_TAG_SIZE = 8;
export const BPF_BUILD_ID_SIZE = 20;
/** Most instructions that a program may have without CAP_BPF. */
export const BPF_MAXINSNS = 4096;

// BTF.
export const BTF_MAGIC = 0xeb9f;
export const BTF_VERSION = 1;
/** Bits of an int type's encoding. */
export const BTF_INT_SIGNED = 0x1;
export const BTF_INT_CHAR = 0x2;
export const BTF_INT_BOOL = 0x4;
/** Highest type id, offset into the strings, number of members and size of a whole BTF object that the kernel takes. */
export const BTF_MAX_TYPE = 0x000f_ffff;
export const BTF_MAX_NAME_OFFSET = 0x00ff_ffff;
export const BTF_MAX_VLEN = 0xffff;
export const BTF_MAX_SIZE = 0x0100_0000;

// Address families.
export const AF_INET = 2;
export const AF_INET6 = 10;

const tcActions: Readonly<Record<number, string>> = {
  4294967295: "TC_ACT_UNSPEC",
  0: "TC_ACT_OK",
  1: "TC_ACT_RECLASSIFY",
  2: "TC_ACT_SHOT",
  3: "TC_ACT_PIPE",
  4: "TC_ACT_STOLEN",
  5: "TC_ACT_QUEUED",
  6: "TC_ACT_REPEAT",
  7: "TC_ACT_REDIRECT",
  8: "TC_ACT_TRAP",
};
const skActions: Readonly<Record<number, string>> = { 0: "SK_DROP", 1: "SK_PASS" };

/** By the type of the program, what its return values are called. pkt_cls.h, bpf.h. */
export const actionNames: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  [BPF_PROG_TYPE_XDP]: xdpActionNames,
  [BPF_PROG_TYPE_SCHED_CLS]: tcActions,
  [BPF_PROG_TYPE_SCHED_ACT]: tcActions,
  [BPF_PROG_TYPE_SK_SKB]: skActions,
  [BPF_PROG_TYPE_SK_MSG]: skActions,
  [BPF_PROG_TYPE_SK_LOOKUP]: skActions,
};
