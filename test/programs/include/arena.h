/* SPDX-License-Identifier: MIT */
/* Arenas for a compiler that knows no address spaces: conversions written out, and the functions that give pages. */
#ifndef PROGRAMS_ARENA_H
#define PROGRAMS_ARENA_H

/* dst = src converted; 1: to the kernel's addresses, 0x10000: to user space's. The register is one and the same. */
#define CAST(pointer, spaces)                                                                               \
  __asm__ volatile(".byte 0xbf\n"                                                                           \
                   ".ifc %[reg], r0\n.byte 0x00\n.endif\n.ifc %[reg], r1\n.byte 0x11\n.endif\n"             \
                   ".ifc %[reg], r2\n.byte 0x22\n.endif\n.ifc %[reg], r3\n.byte 0x33\n.endif\n"             \
                   ".ifc %[reg], r4\n.byte 0x44\n.endif\n.ifc %[reg], r5\n.byte 0x55\n.endif\n"             \
                   ".ifc %[reg], r6\n.byte 0x66\n.endif\n.ifc %[reg], r7\n.byte 0x77\n.endif\n"             \
                   ".ifc %[reg], r8\n.byte 0x88\n.endif\n.ifc %[reg], r9\n.byte 0x99\n.endif\n"             \
                   ".short 1\n.long %[as]\n"                                                                \
                   : [reg] "+r"(pointer)                                                                    \
                   : [as] "i"(spaces))
#define cast_kern(pointer) CAST(pointer, 1)
#define cast_user(pointer) CAST(pointer, 0x10000)

extern void *bpf_arena_alloc_pages(void *map, void *address, __u32 count, int node, __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void *address, __u32 count) __ksym;
extern int bpf_arena_reserve_pages(void *map, void *address, __u32 count) __ksym;

#endif
