/* SPDX-License-Identifier: MIT */
/*
 * What the test programs are written with: the system's UAPI (<linux/bpf.h> has the numbers and the contexts), sections,
 * map definitions, and every helper by its number. Written for this project; nothing of libbpf is used.
 */
#ifndef PROGRAMS_BPF_H
#define PROGRAMS_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <linux/version.h>

#ifndef NULL
#define NULL ((void *)0)
#endif
#ifndef __bool_true_false_are_defined
typedef _Bool bool;
#define true 1
#define false 0
#endif

/* ---- sections and functions ---- */

/* Where a function or a variable goes in the object file: loaders read the section's name. */
#define SEC(name) __attribute__((section(name), used))
#define LICENSE(text) char _license[] SEC("license") = text
/* Filled in by the loader: kernel functions and variables, and the kernel's configuration. */
#define __ksym __attribute__((section(".ksyms")))
#define __kconfig __attribute__((section(".kconfig")))
#define __weak __attribute__((weak))
#define __hidden __attribute__((visibility("hidden")))
#define __noinline __attribute__((noinline))
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#define __kptr __attribute__((btf_type_tag("kptr")))
#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#define __contains(type, member) __attribute__((btf_decl_tag("contains:" #type ":" #member)))
/* A variable in a .bss section of its own, as the verifier wants for a lock with its list or tree. */
#define private_bss(name) SEC(".bss." #name) __hidden __attribute__((aligned(8)))

/* ---- maps: a struct in ".maps" whose member types say everything ---- */

#define __uint(attribute, number) int(*attribute)[number]
#define __type(attribute, of_type) __typeof__(of_type) *attribute
#define __array(attribute, of_type) __typeof__(of_type) *attribute[]
#define PROGRAMS_GLUE_(a, b) a##b
#define PROGRAMS_GLUE(a, b) PROGRAMS_GLUE_(a, b)
#define __ulong(attribute, number) enum { PROGRAMS_GLUE(ulong_value_, __COUNTER__) = number } attribute
/* Of `pinning`. */
#define PIN_NONE 0
#define PIN_BY_NAME 1

/* Numbers that are newer than the system's header may be. */
#define BPF_MAP_TYPE_USER_RINGBUF 31
#define BPF_MAP_TYPE_CGRP_STORAGE 32
#define BPF_MAP_TYPE_ARENA 33

/* The kernel's own structs in values, where the system's header is older than they are. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
struct bpf_list_head {
  __u64 opaque[2];
} __attribute__((aligned(8)));
struct bpf_list_node {
  __u64 opaque[3];
} __attribute__((aligned(8)));
struct bpf_rb_root {
  __u64 opaque[2];
} __attribute__((aligned(8)));
struct bpf_rb_node {
  __u64 opaque[4];
} __attribute__((aligned(8)));
struct bpf_refcount {
  __u32 opaque[1];
} __attribute__((aligned(4)));
#endif
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
struct bpf_wq {
  __u64 opaque[2];
} __attribute__((aligned(8)));
#endif

/* ---- byte order: network order from host order and back, on the little-endian target of build.sh ---- */

#define bpf_htons(value) ((__be16)__builtin_bswap16(value))
#define bpf_ntohs(value) ((__u16)__builtin_bswap16(value))
#define bpf_htonl(value) ((__be32)__builtin_bswap32(value))
#define bpf_ntohl(value) ((__u32)__builtin_bswap32(value))

/* ---- small things ---- */

#define barrier() __asm__ volatile("" ::: "memory")
/* Keeps the compiler from knowing, or from moving, what a variable holds. */
#define barrier_var(variable) __asm__ volatile("" : "+r"(variable))
#define READ_ONCE(variable) (*(volatile __typeof__(variable) *)&(variable))
#define WRITE_ONCE(variable, value) ((*(volatile __typeof__(variable) *)&(variable)) = (value))
#define offsetof(type, member) __builtin_offsetof(type, member)
#define container_of(pointer, type, member) ((type *)((void *)(pointer) - offsetof(type, member)))
#define memcpy(to, from, bytes) __builtin_memcpy(to, from, bytes)
#define memset(to, byte, bytes) __builtin_memset(to, byte, bytes)

#include "helpers.h"

/* Text goes by as an array on the stack, as bpf_trace_printk and bpf_snprintf want their formats: constant. */
#define bpf_printk(format, ...)                                          \
  ({                                                                     \
    static const char text_[] = format;                                  \
    bpf_trace_printk(text_, sizeof(text_), ##__VA_ARGS__);               \
  })

#endif
