/* SPDX-License-Identifier: MIT */
/*
 * The little that an XDP program needs to be compiled with no other header on the machine: integer types, the kernel
 * numbers it uses, its context, the helpers it calls, and the macros that write a map definition.
 */
#ifndef TRAFFIC_BPF_H
#define TRAFFIC_BPF_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef long long __s64;
/* In network order, as they stand in the packet. */
typedef __u16 __be16;
typedef __u32 __be32;

#define NULL ((void *)0)

/* Where a function or a variable goes in the object file: loaders read the section's name. */
#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
/* A function of its own in the object, so that calling it is a call from BPF to BPF. */
#define NOINLINE __attribute__((noinline))

/*
 * A map definition is a struct whose member types say everything: a number is the length of an array that is pointed
 * to, a type is the type that is pointed to. Nothing of it is stored; the loader reads it from the BTF.
 */
#define __uint(attribute, number) int(*attribute)[number]
#define __type(attribute, of_type) __typeof__(of_type) *attribute

enum bpf_map_type {
  BPF_MAP_TYPE_HASH = 1,
  BPF_MAP_TYPE_ARRAY = 2,
  BPF_MAP_TYPE_PERCPU_HASH = 5,
  BPF_MAP_TYPE_PERCPU_ARRAY = 6,
  BPF_MAP_TYPE_LRU_HASH = 9,
  BPF_MAP_TYPE_LPM_TRIE = 11,
  BPF_MAP_TYPE_QUEUE = 22,
  BPF_MAP_TYPE_STACK = 23,
  BPF_MAP_TYPE_RINGBUF = 27,
  BPF_MAP_TYPE_BLOOM_FILTER = 30,
};

/* Map flags. */
enum {
  BPF_F_NO_PREALLOC = 1 << 0,
  BPF_F_ZERO_SEED = 1 << 6,
};

/* Flags of an update or a push. */
enum {
  BPF_ANY = 0,
  BPF_NOEXIST = 1,
  BPF_EXIST = 2,
};

/* What an XDP program returns. */
enum xdp_action {
  XDP_ABORTED,
  XDP_DROP,
  XDP_PASS,
  XDP_TX,
  XDP_REDIRECT,
};

/* What an XDP program is called with; the loads of the first two members become loads of pointers. */
struct xdp_md {
  __u32 data;
  __u32 data_end;
  __u32 data_meta;
  __u32 ingress_ifindex;
  __u32 rx_queue_index;
  __u32 egress_ifindex;
};

/* A helper is called by its number, which stands where a function has its address. */
#define HELPER(number, result, name, ...) \
  static result (*const name)(__VA_ARGS__) __attribute__((unused)) = (void *)number

HELPER(1, void *, bpf_map_lookup_elem, void *map, const void *key);
HELPER(2, long, bpf_map_update_elem, void *map, const void *key, const void *value, __u64 flags);
HELPER(5, __u64, bpf_ktime_get_ns, void);
HELPER(87, long, bpf_map_push_elem, void *map, const void *value, __u64 flags);
HELPER(89, long, bpf_map_peek_elem, void *map, void *value);
HELPER(131, void *, bpf_ringbuf_reserve, void *ringbuf, __u64 size, __u64 flags);
HELPER(132, void, bpf_ringbuf_submit, void *data, __u64 flags);

/* Host order from network order and back, on the little-endian target that build.sh asks for. */
#define bpf_ntohs(value) ((__u16)__builtin_bswap16(value))
#define bpf_htons(value) ((__be16)__builtin_bswap16(value))

#endif
