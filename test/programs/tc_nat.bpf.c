/* SPDX-License-Identifier: MIT */
/*
 * Destination NAT for TCP and UDP on a tc hook: addresses and ports are rewritten, and the checksums of IP and transport
 * header with them, in place. Flows are remembered, so that answers are rewritten back.
 */
#include "bpf.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>

#define IP_OFFSET ETH_HLEN
#define CHECK_OFFSET (IP_OFFSET + offsetof(struct iphdr, check))
#define L4_OFFSET (IP_OFFSET + sizeof(struct iphdr))

struct service {
  __be32 address;
  __be16 port;
  __u8 protocol;
  __u8 unused;
};

struct backend {
  __be32 address;
  __be16 port;
  __u16 unused;
};

struct flow {
  __be32 client;
  __be32 backend;
  __be16 client_port;
  __be16 backend_port;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, struct service);
  __type(value, struct backend);
} services SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 256);
  __type(key, struct flow);
  __type(value, struct service);
} flows SEC(".maps");

__u64 rewritten;
__u64 failed;

struct ports {
  __be16 source;
  __be16 destination;
};

/* Offset of the transport checksum, or 0. */
static __always_inline __u32 checksum_offset(__u8 protocol) {
  if (protocol == IPPROTO_TCP) return L4_OFFSET + offsetof(struct tcphdr, check);
  if (protocol == IPPROTO_UDP) return L4_OFFSET + offsetof(struct udphdr, check);
  return 0;
}

/* An address of the IP header, at `offset` of the packet: both checksums know it. */
static __noinline int rewrite_address(struct __sk_buff *skb, __u32 offset, __be32 old, __be32 new, __u8 protocol) {
  __u32 check = checksum_offset(protocol);
  __u64 flags = BPF_F_PSEUDO_HDR | sizeof(new);
  if (protocol == IPPROTO_UDP) flags |= BPF_F_MARK_MANGLED_0;
  if (!check || bpf_l4_csum_replace(skb, check, old, new, flags)) return -1;
  if (bpf_l3_csum_replace(skb, CHECK_OFFSET, old, new, sizeof(new))) return -1;
  return bpf_skb_store_bytes(skb, offset, &new, sizeof(new), 0);
}

static __noinline int rewrite_port(struct __sk_buff *skb, __u32 offset, __be16 old, __be16 new, __u8 protocol) {
  __u32 check = checksum_offset(protocol);
  __u64 flags = sizeof(new) | (protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);
  if (!check || bpf_l4_csum_replace(skb, check, old, new, flags)) return -1;
  return bpf_skb_store_bytes(skb, offset, &new, sizeof(new), BPF_F_INVALIDATE_HASH);
}

static __always_inline int headers(struct __sk_buff *skb, struct iphdr *ip, struct ports *ports) {
  if (skb->protocol != bpf_htons(ETH_P_IP)) return -1;
  if (bpf_skb_load_bytes(skb, IP_OFFSET, ip, sizeof(*ip))) return -1;
  if (ip->ihl != 5 || ip->frag_off & bpf_htons(0x3fff)) return -1;
  return bpf_skb_load_bytes(skb, L4_OFFSET, ports, sizeof(*ports));
}

SEC("tc")
int to_backend(struct __sk_buff *skb) {
  struct iphdr ip;
  struct ports ports;
  if (headers(skb, &ip, &ports)) return TC_ACT_OK;
  struct service service = { .address = ip.daddr, .port = ports.destination, .protocol = ip.protocol };
  struct backend *found = bpf_map_lookup_elem(&services, &service);
  if (!found) return TC_ACT_OK;
  struct backend backend = *found;

  __u32 address_offset = IP_OFFSET + offsetof(struct iphdr, daddr);
  if (rewrite_address(skb, address_offset, ip.daddr, backend.address, ip.protocol) ||
      rewrite_port(skb, L4_OFFSET + 2, ports.destination, backend.port, ip.protocol)) {
    failed++;
    return TC_ACT_SHOT;
  }
  struct flow flow = {
    .client = ip.saddr, .backend = backend.address, .client_port = ports.source, .backend_port = backend.port
  };
  bpf_map_update_elem(&flows, &flow, &service, BPF_ANY);
  rewritten++;
  return bpf_redirect(1, 0);
}

SEC("tc")
int to_client(struct __sk_buff *skb) {
  struct iphdr ip;
  struct ports ports;
  if (headers(skb, &ip, &ports)) return TC_ACT_OK;
  struct flow flow = {
    .client = ip.daddr, .backend = ip.saddr, .client_port = ports.destination, .backend_port = ports.source
  };
  struct service *service = bpf_map_lookup_elem(&flows, &flow);
  if (!service) return TC_ACT_OK;
  struct service was = *service;
  __u32 address_offset = IP_OFFSET + offsetof(struct iphdr, saddr);
  if (rewrite_address(skb, address_offset, ip.saddr, was.address, ip.protocol) ||
      rewrite_port(skb, L4_OFFSET, ports.source, was.port, ip.protocol)) {
    failed++;
    return TC_ACT_SHOT;
  }
  rewritten++;
  return TC_ACT_OK;
}
