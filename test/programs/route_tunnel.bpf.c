// SPDX-License-Identifier: MIT
/*
 * Programs of a route: sources that must not come in, traffic that goes out by realm, packets that are put into an outer
 * IPv4 header on their way, and segments of IPv6 source routes.
 */
#include "bpf.h"
#include <linux/ip.h>
#include <linux/ipv6.h>

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPPROTO_IPIP 4
#define IPPROTO_ROUTING 43
#define SEGMENT_ROUTING 4

struct prefix {
  __u32 length;
  __be32 address;
};

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 64);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct prefix);
  __type(value, __u32);
} unwanted SEC(".maps");

struct traffic {
  __u64 packets;
  __u64 bytes;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, struct traffic);
} by_realm SEC(".maps");

const volatile __u32 outer_source = 0x0a000001;
const volatile __u32 outer_target = 0x0a000002;

__u64 refused, wrapped, last_segments;
__u8 next_segment[16];

SEC("lwt_in")
int come_in(struct __sk_buff *skb) {
  void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
  struct iphdr *ip = data;
  struct prefix prefix = {.length = 32};
  __u32 *hits;

  if (skb->protocol != bpf_htons(ETH_P_IP))
    return BPF_OK;
  if ((void *)(ip + 1) > end)
    return BPF_DROP;
  prefix.address = ip->saddr;
  hits = bpf_map_lookup_elem(&unwanted, &prefix);
  if (!hits)
    return BPF_OK;
  __sync_fetch_and_add(hits, 1);
  refused++;
  return BPF_DROP;
}

SEC("lwt_out")
int go_out(struct __sk_buff *skb) {
  __u32 realm = bpf_get_route_realm(skb);
  struct traffic *traffic, first = {.packets = 1, .bytes = skb->len};

  traffic = bpf_map_lookup_elem(&by_realm, &realm);
  if (traffic) {
    __sync_fetch_and_add(&traffic->packets, 1);
    __sync_fetch_and_add(&traffic->bytes, skb->len);
  } else {
    bpf_map_update_elem(&by_realm, &realm, &first, BPF_NOEXIST);
  }
  return BPF_OK;
}

/* Sum of the outer header, whose own is 0 yet. */
static __always_inline __u16 sum_of(struct iphdr *ip) {
  __u64 sum = bpf_csum_diff(NULL, 0, (void *)ip, sizeof(*ip), 0);

  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

SEC("lwt_xmit")
int wrap(struct __sk_buff *skb) {
  struct iphdr outer = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_IPIP};
  __u32 inner = skb->len;
  void *data, *end;

  if (skb->protocol != bpf_htons(ETH_P_IP))
    return BPF_OK;
  outer.tot_len = bpf_htons(inner + sizeof(outer));
  outer.saddr = bpf_htonl(outer_source);
  outer.daddr = bpf_htonl(outer_target);
  outer.check = sum_of(&outer);
  if (bpf_skb_change_head(skb, sizeof(outer), 0))
    return BPF_DROP;
  if (bpf_skb_store_bytes(skb, 0, &outer, sizeof(outer), BPF_F_INVALIDATE_HASH))
    return BPF_DROP;
  data = (void *)(long)skb->data;
  end = (void *)(long)skb->data_end;
  /* One hop less for what is inside. */
  if (data + 2 * sizeof(outer) <= end) {
    struct iphdr *ip = data + sizeof(outer);

    if (ip->ttl <= 1)
      return BPF_DROP;
    ip->ttl--;
    bpf_l3_csum_replace(skb, sizeof(outer) + offsetof(struct iphdr, check), bpf_htons(0x100), 0, 2);
  }
  skb->mark = outer_target;
  wrapped++;
  return BPF_LWT_REROUTE;
}

struct route_header {
  __u8 next;
  __u8 length;
  __u8 type;
  __u8 left;
  __u8 last;
  __u8 flags;
  __be16 tag;
};

const volatile __u16 wanted_tag = 7;

SEC("lwt_seg6local")
int segment(struct __sk_buff *skb) {
  struct ipv6hdr ip;
  struct route_header route;

  if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_ROUTING)
    return BPF_DROP;
  if (bpf_skb_load_bytes(skb, sizeof(ip), &route, sizeof(route)) || route.type != SEGMENT_ROUTING)
    return BPF_DROP;
  if (bpf_ntohs(route.tag) != wanted_tag || route.left > route.last)
    return BPF_DROP;
  last_segments = route.left;
  /* Segments stand in reverse order. */
  if (bpf_skb_load_bytes(skb, sizeof(ip) + sizeof(route) + 16 * route.left, next_segment, sizeof(next_segment)))
    return BPF_DROP;
  return BPF_OK;
}

LICENSE("GPL");
