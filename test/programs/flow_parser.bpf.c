/* SPDX-License-Identifier: MIT */
/*
 * A flow dissector: Ethernet with VLAN tags, IPv4, IPv6 with extension headers, IPIP, ports of TCP and UDP. What it
 * cannot parse it leaves to the kernel.
 */
#include "bpf.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stddef.h>

#define MAX_TAGS 2
#define MAX_EXTENSIONS 4
#define FRAGMENT 0x1fff
#define MORE_FRAGMENTS 0x2000

struct vlan {
  __be16 tci;
  __be16 protocol;
};

struct extension {
  __u8 next;
  __u8 length;
};

__u64 dissected;
__u64 left_to_kernel;

/* `size` bytes at `offset` of the packet, or NULL. */
static __always_inline void *at(struct __sk_buff *skb, __u32 offset, __u32 size) {
  void *data = (void *)(long)skb->data;
  void *end = (void *)(long)skb->data_end;
  if (offset > 0x3fff || data + offset + size > end) return 0;
  return data + offset;
}

static __always_inline int leave(void) {
  left_to_kernel++;
  return BPF_FLOW_DISSECTOR_CONTINUE;
}

static __always_inline int done(void) {
  dissected++;
  return BPF_OK;
}

static __always_inline int transport(struct __sk_buff *skb, struct bpf_flow_keys *keys, __u8 protocol) {
  keys->ip_proto = protocol;
  if (keys->is_frag && !keys->is_first_frag) return done();
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return leave();
  __be16 *ports = at(skb, keys->thoff, 4);
  if (!ports) return BPF_DROP;
  keys->sport = ports[0];
  keys->dport = ports[1];
  return done();
}

static __always_inline int ipv4(struct __sk_buff *skb, struct bpf_flow_keys *keys, int inner) {
  struct iphdr *ip = at(skb, keys->nhoff, sizeof(*ip));
  if (!ip || ip->ihl < 5) return BPF_DROP;
  keys->addr_proto = ETH_P_IP;
  keys->ipv4_src = ip->saddr;
  keys->ipv4_dst = ip->daddr;
  keys->thoff = keys->nhoff + ip->ihl * 4;
  __u16 fragment = bpf_ntohs(ip->frag_off);
  if (fragment & (FRAGMENT | MORE_FRAGMENTS)) {
    keys->is_frag = 1;
    if (!(fragment & FRAGMENT)) {
      keys->is_first_frag = 1;
      if (!(keys->flags & BPF_FLOW_DISSECTOR_F_PARSE_1ST_FRAG)) {
        keys->ip_proto = ip->protocol;
        return done();
      }
    }
  }
  if (ip->protocol != IPPROTO_IPIP) return transport(skb, keys, ip->protocol);
  keys->is_encap = 1;
  if (inner || keys->flags & BPF_FLOW_DISSECTOR_F_STOP_AT_ENCAP) return done();
  keys->nhoff = keys->thoff;
  return -1;
}

static __always_inline int ipv6(struct __sk_buff *skb, struct bpf_flow_keys *keys) {
  struct ipv6hdr *ip = at(skb, keys->nhoff, sizeof(*ip));
  if (!ip) return BPF_DROP;
  keys->addr_proto = ETH_P_IPV6;
  __builtin_memcpy(keys->ipv6_src, &ip->saddr, sizeof(keys->ipv6_src));
  __builtin_memcpy(keys->ipv6_dst, &ip->daddr, sizeof(keys->ipv6_dst));
  keys->flow_label = *(__be32 *)ip & bpf_htonl(0xfffff);
  keys->thoff = keys->nhoff + sizeof(*ip);
  __u8 next = ip->nexthdr;
  if (keys->flow_label && keys->flags & BPF_FLOW_DISSECTOR_F_STOP_AT_FLOW_LABEL) {
    keys->ip_proto = next;
    return done();
  }
  for (int i = 0; i < MAX_EXTENSIONS; i++) {
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS && next != IPPROTO_ROUTING) break;
    struct extension *extension = at(skb, keys->thoff, sizeof(*extension));
    if (!extension) return BPF_DROP;
    next = extension->next;
    keys->thoff += (extension->length + 1) * 8;
  }
  return transport(skb, keys, next);
}

SEC("flow_dissector")
int dissect(struct __sk_buff *skb) {
  struct bpf_flow_keys *keys = skb->flow_keys;
  __be16 protocol = keys->n_proto;
  for (int i = 0; i < MAX_TAGS; i++) {
    if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD)) break;
    struct vlan *vlan = at(skb, keys->nhoff, sizeof(*vlan));
    if (!vlan) return BPF_DROP;
    protocol = vlan->protocol;
    keys->nhoff += sizeof(*vlan);
    keys->thoff = keys->nhoff;
  }
  keys->n_proto = protocol;
  if (protocol == bpf_htons(ETH_P_IPV6)) return ipv6(skb, keys);
  if (protocol != bpf_htons(ETH_P_IP)) return leave();
  int verdict = ipv4(skb, keys, 0);
  return verdict < 0 ? ipv4(skb, keys, 1) : verdict;
}
