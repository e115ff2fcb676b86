/* SPDX-License-Identifier: MIT */
/*
 * The edge of a network on a tc hook: untags customers' frames into the mark, puts a service tag on what leaves, and
 * tunnels packets in IPv4 (IPIP) and out of it. Direct access to the packet, room between its headers, VLAN tags.
 */
#include "bpf.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>

#define SERVICE_TAG 0x88a8
/* Younger than many systems' headers. */
#define DECAP_IPV4 (1ULL << 7)

struct tunnel {
  __be32 from;
  __be32 to;
  __u32 ttl;
};

/* By the customer: the number of the VLAN. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, struct tunnel);
} tunnels SEC(".maps");

enum { UNTAGGED, TAGGED, WRAPPED, UNWRAPPED, DROPPED, KINDS };

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, KINDS);
  __type(key, __u32);
  __type(value, __u64);
} counts SEC(".maps");

static __always_inline void count(__u32 kind) {
  __u64 *n = bpf_map_lookup_elem(&counts, &kind);
  if (n) __sync_fetch_and_add(n, 1);
}

/* In from the customer: the tag becomes the mark, its priority bits the class. */
SEC("tc")
int untag(struct __sk_buff *skb) {
  if (!skb->vlan_present) {
    /* The tag may still stand in the packet. */
    if (skb->protocol != bpf_htons(ETH_P_8021Q)) {
      count(DROPPED);
      return TC_ACT_SHOT;
    }
    __be16 tci;
    if (bpf_skb_load_bytes(skb, ETH_HLEN, &tci, sizeof(tci))) return TC_ACT_SHOT;
    __u16 number = bpf_ntohs(tci);
    skb->mark = number & 0xfff;
    skb->tc_classid = number >> 13;
    skb->priority = number >> 13;
  }
  if (bpf_skb_vlan_pop(skb)) return TC_ACT_SHOT;
  skb->cb[0] = skb->protocol;
  skb->cb[1] = skb->len;
  skb->cb[2] = skb->tc_classid;
  count(UNTAGGED);
  return TC_ACT_OK;
}

/* Out to the provider: customer tag inside, service tag outside. */
SEC("tc")
int tag(struct __sk_buff *skb) {
  if (!skb->mark) return TC_ACT_UNSPEC;
  if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), skb->mark & 0xfff)) return TC_ACT_SHOT;
  if (bpf_skb_vlan_push(skb, bpf_htons(SERVICE_TAG), 7)) return TC_ACT_SHOT;
  skb->cb[0] = skb->vlan_present;
  skb->cb[1] = skb->vlan_tci;
  skb->cb[2] = skb->vlan_proto;
  count(TAGGED);
  return TC_ACT_OK;
}

static __always_inline __u16 checksum(struct iphdr *ip) {
  __s64 sum = bpf_csum_diff(0, 0, (__be32 *)ip, sizeof(*ip), 0);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

SEC("tc")
int wrap(struct __sk_buff *skb) {
  __u32 customer = skb->mark;
  struct tunnel *tunnel = bpf_map_lookup_elem(&tunnels, &customer);
  if (!tunnel || skb->protocol != bpf_htons(ETH_P_IP)) {
    count(DROPPED);
    return TC_ACT_SHOT;
  }
  __u32 inner = skb->len - ETH_HLEN;
  if (bpf_skb_adjust_room(skb, sizeof(struct iphdr), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4)) return TC_ACT_SHOT;

  void *data = (void *)(long)skb->data;
  void *end = (void *)(long)skb->data_end;
  struct iphdr *outer = data + ETH_HLEN;
  if ((void *)(outer + 1) > end) return TC_ACT_SHOT;
  outer->version = 4;
  outer->ihl = sizeof(*outer) / 4;
  outer->tos = 0;
  outer->tot_len = bpf_htons(inner + sizeof(*outer));
  outer->id = 0;
  outer->frag_off = bpf_htons(0x4000);
  outer->ttl = tunnel->ttl;
  outer->protocol = IPPROTO_IPIP;
  outer->check = 0;
  outer->saddr = tunnel->from;
  outer->daddr = tunnel->to;
  outer->check = checksum(outer);
  count(WRAPPED);
  return TC_ACT_OK;
}

SEC("tc")
int unwrap(struct __sk_buff *skb) {
  void *data = (void *)(long)skb->data;
  void *end = (void *)(long)skb->data_end;
  struct iphdr *outer = data + ETH_HLEN;
  if ((void *)(outer + 1) > end || outer->protocol != IPPROTO_IPIP || outer->ihl != 5) return TC_ACT_UNSPEC;
  if (bpf_skb_adjust_room(skb, -(int)sizeof(*outer), BPF_ADJ_ROOM_MAC, DECAP_IPV4)) {
    count(DROPPED);
    return TC_ACT_SHOT;
  }
  count(UNWRAPPED);
  return TC_ACT_OK;
}
