/* SPDX-License-Identifier: MIT */
/*
 * A socket filter as classic BPF was compiled to: loads from the packet in network byte order, which end the program with
 * 0 where the packet is too short. Keeps TCP to the ports of interest, as much of it as somebody asked for.
 */
#include "bpf.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <stddef.h>

unsigned long long load_byte(void *skb, unsigned long long offset) asm("llvm.bpf.load.byte");
unsigned long long load_half(void *skb, unsigned long long offset) asm("llvm.bpf.load.half");
unsigned long long load_word(void *skb, unsigned long long offset) asm("llvm.bpf.load.word");

/* Offsets from the Ethernet and the network header, wherever the packet begins for the program. */
#define LINK(offset) ((unsigned long long)(-0x200000 + (offset)))
#define NET(offset) ((unsigned long long)(-0x100000 + (offset)))

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u16);
  __type(value, __u32);
} snap_lengths SEC(".maps");

struct seen {
  __u64 packets;
  __u32 last_source;
  __u32 last_word;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u16);
  __type(value, struct seen);
} ports SEC(".maps");

SEC("socket")
int sniff(struct __sk_buff *skb) {
  if (load_half(skb, LINK(offsetof(struct ethhdr, h_proto))) != ETH_P_IP) return 0;
  if (load_byte(skb, NET(offsetof(struct iphdr, protocol))) != IPPROTO_TCP) return 0;
  if (load_half(skb, NET(offsetof(struct iphdr, frag_off))) & 0x1fff) return 0;
  __u64 header = (load_byte(skb, 0) & 0xf) << 2;
  __u16 port = load_half(skb, header + 2);
  __u32 *length = bpf_map_lookup_elem(&snap_lengths, &port);
  if (!length) return 0;
  struct seen *seen = bpf_map_lookup_elem(&ports, &port);
  if (!seen) {
    struct seen first = { 0 };
    bpf_map_update_elem(&ports, &port, &first, BPF_NOEXIST);
    seen = bpf_map_lookup_elem(&ports, &port);
    if (!seen) return 0;
  }
  seen->packets++;
  seen->last_source = load_word(skb, NET(offsetof(struct iphdr, saddr)));
  /* Sequence number: a segment without one is cut off, and not wanted. */
  seen->last_word = load_word(skb, header + 4);
  skb->cb[0] = port;
  return *length;
}
