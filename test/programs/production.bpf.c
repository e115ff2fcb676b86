/* SPDX-License-Identifier: MIT */
/*
 * A layer 4 load balancer of the size that is used in production: a front program that parses a packet and calls the
 * program of its service by tail call, and two dozen of those, each with its own access list, table of connections,
 * backends and counters. What a service does is written once; the macros at the end stamp out its maps and its program.
 */
#include "bpf.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#define VLANS 2
#define TCP_OPTIONS 8
#define MAX_BACKENDS 16

/* The order in which a service meets packets; also the index of its counter. */
enum outcome { FORWARDED, NEW_FLOW, DENIED, NO_BACKEND, BROKEN, OUTCOMES };

struct address {
  __u32 words[4];
};

struct flow {
  struct address source;
  struct address target;
  __be16 source_port;
  __be16 target_port;
  __u8 protocol;
  __u8 family;
  __u16 unused;
};

struct packet {
  struct flow flow;
  __u16 network;
  __u16 transport;
  __u16 mss;
  __u8 tcp_flags;
  __u8 ttl;
};

struct service_key {
  struct address address;
  __be16 port;
  __u8 protocol;
  __u8 family;
};

struct prefix {
  __u32 length;
  struct address address;
};

struct connection {
  __u32 backend;
  __u32 packets;
  __u64 bytes;
};

struct backend {
  struct address address;
  __u8 mac[ETH_ALEN];
  __u16 weight;
};

struct counters {
  __u64 packets;
  __u64 bytes;
};

struct vlan_header {
  __be16 tag;
  __be16 protocol;
};

volatile const __u32 seed = 0x9e3779b9;
volatile const bool count_broken = true;
volatile const __u8 own_mac[ETH_ALEN] = { 2, 0, 0, 0, 0, 1 };
__u64 seen;
__u64 unknown_service;

/* What the front program found, for the program that it calls: a tail call hands over nothing but the context. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct packet);
} parsed SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 256);
  __type(key, struct service_key);
  __type(value, __u32);
} services SEC(".maps");

/* ---- parsing: verified once, by itself ---- */

__noinline int parse_link(struct xdp_md *ctx, __u16 *protocol) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  __u32 offset = sizeof(*ethernet);

  if (!protocol || (void *)(ethernet + 1) > end) return -1;
  *protocol = ethernet->h_proto;
#pragma unroll
  for (int i = 0; i < VLANS; i++) {
    struct vlan_header *vlan = data + offset;

    if (*protocol != bpf_htons(ETH_P_8021Q) && *protocol != bpf_htons(ETH_P_8021AD)) break;
    if ((void *)(vlan + 1) > end) return -1;
    *protocol = vlan->protocol;
    offset += sizeof(*vlan);
  }
  return offset;
}

__noinline int parse_network(struct xdp_md *ctx, struct packet *packet, __u32 offset, __u32 protocol) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;

  if (!packet || offset > 64) return -1;
  packet->network = offset;
  if (protocol == bpf_htons(ETH_P_IP)) {
    struct iphdr *ip = data + offset;

    if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5) return -1;
    /* Fragments have no ports. */
    if (ip->frag_off & bpf_htons(0x3fff)) return -1;
    packet->flow.family = 4;
    packet->flow.protocol = ip->protocol;
    packet->flow.source.words[0] = ip->saddr;
    packet->flow.target.words[0] = ip->daddr;
    packet->ttl = ip->ttl;
    return offset + ip->ihl * 4;
  }
  if (protocol == bpf_htons(ETH_P_IPV6)) {
    struct ipv6hdr *ip = data + offset;

    if ((void *)(ip + 1) > end || ip->version != 6) return -1;
    packet->flow.family = 6;
    packet->flow.protocol = ip->nexthdr;
    memcpy(&packet->flow.source, &ip->saddr, sizeof(struct address));
    memcpy(&packet->flow.target, &ip->daddr, sizeof(struct address));
    packet->ttl = ip->hop_limit;
    return offset + sizeof(*ip);
  }
  return -1;
}

__noinline int parse_transport(struct xdp_md *ctx, struct packet *packet, __u32 offset) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;

  if (!packet || offset > 160) return -1;
  packet->transport = offset;
  if (packet->flow.protocol == IPPROTO_UDP) {
    struct udphdr *udp = data + offset;

    if ((void *)(udp + 1) > end) return -1;
    packet->flow.source_port = udp->source;
    packet->flow.target_port = udp->dest;
    return 0;
  }
  if (packet->flow.protocol == IPPROTO_TCP) {
    struct tcphdr *tcp = data + offset;
    __u8 *option = (void *)(tcp + 1);

    if ((void *)(tcp + 1) > end) return -1;
    packet->flow.source_port = tcp->source;
    packet->flow.target_port = tcp->dest;
    packet->tcp_flags = ((__u8 *)tcp)[13];
    if (!tcp->syn) return 0;
#pragma unroll
    for (int i = 0; i < TCP_OPTIONS; i++) {
      if ((void *)(option + 4) > end || *option == 0) return 0;
      if (*option == 2) {
        packet->mss = option[2] << 8 | option[3];
        return 0;
      }
      option += *option == 1 ? 1 : option[1] & 31;
    }
    return 0;
  }
  return -1;
}

/* ---- choosing and rewriting ---- */

static __always_inline __u32 mix(__u32 hash, __u32 word) {
  hash ^= word;
  hash *= 0x85ebca6b;
  hash = hash << 13 | hash >> 19;
  return hash * 5 + 0xe6546b64;
}

__noinline __u32 hash_flow(struct flow *flow) {
  __u32 hash = seed;

  if (!flow) return 0;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    hash = mix(hash, flow->source.words[i]);
    hash = mix(hash, flow->target.words[i]);
  }
  hash = mix(hash, (__u32)flow->source_port << 16 | flow->target_port);
  hash = mix(hash, flow->protocol);
  return hash ^ hash >> 16;
}

static __always_inline __u16 folded(__u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return sum + (sum >> 16);
}

/* The checksum when one 32-bit word becomes another (RFC 1624). */
static __always_inline __u16 updated(__u16 checksum, __u32 from, __u32 to) {
  __u32 sum = (__u16)~checksum;

  sum += (__u16)~from + (__u16) ~(from >> 16);
  sum += (__u16)to + (__u16)(to >> 16);
  return ~folded(sum);
}

__noinline int rewrite(struct xdp_md *ctx, struct packet *packet, struct backend *backend) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;
  struct ethhdr *ethernet = data;
  __u32 network;
  __u32 transport;

  if (!packet || !backend) return -1;
  network = packet->network;
  transport = packet->transport;
  if (network > 64 || transport > 160 || (void *)(ethernet + 1) > end) return -1;
  for (int i = 0; i < ETH_ALEN; i++) {
    ethernet->h_dest[i] = backend->mac[i];
    ethernet->h_source[i] = own_mac[i];
  }
  if (packet->flow.family == 6) {
    struct ipv6hdr *ip = data + network;

    if ((void *)(ip + 1) > end || ip->hop_limit <= 1) return -1;
    ip->hop_limit--;
    return 0;
  }
  struct iphdr *ip = data + network;
  __u32 target;

  if ((void *)(ip + 1) > end || ip->ttl <= 1) return -1;
  target = ip->daddr;
  ip->daddr = backend->address.words[0];
  ip->check = updated(ip->check, target, ip->daddr);
  ip->ttl--;
  ip->check = updated(ip->check, packet->ttl, ip->ttl);
  if (packet->flow.protocol == IPPROTO_TCP) {
    struct tcphdr *tcp = data + transport;

    if ((void *)(tcp + 1) > end) return -1;
    tcp->check = updated(tcp->check, target, ip->daddr);
  }
  return 0;
}

/* ---- what every service does ---- */

static __always_inline void count(void *stats, __u32 outcome, __u64 bytes) {
  struct counters *counters = bpf_map_lookup_elem(stats, &outcome);

  if (!counters) return;
  counters->packets++;
  counters->bytes += bytes;
}

static __always_inline bool denied(void *acl, const struct packet *packet) {
  struct prefix prefix = { .length = 128 };
  __u8 *verdict;

  memcpy(&prefix.address, &packet->flow.source, sizeof(prefix.address));
  verdict = bpf_map_lookup_elem(acl, &prefix);
  return verdict && *verdict;
}

/* The backend of a new connection: the first one with weight, from where the hash points. */
static __always_inline int choose(void *backends, struct packet *packet) {
  __u32 start = hash_flow(&packet->flow);

#pragma unroll
  for (int i = 0; i < 4; i++) {
    __u32 index = (start + i) % MAX_BACKENDS;
    struct backend *backend = bpf_map_lookup_elem(backends, &index);

    if (backend && backend->weight) return index;
  }
  return -1;
}

static __always_inline int serve(struct xdp_md *ctx, void *acl, void *flows, void *backends, void *stats) {
  __u64 bytes = ctx->data_end - ctx->data;
  __u32 zero = 0;
  struct packet *packet = bpf_map_lookup_elem(&parsed, &zero);
  struct connection *connection;
  struct backend *backend;
  __u32 index;

  if (!packet) return XDP_ABORTED;
  if (denied(acl, packet)) {
    count(stats, DENIED, bytes);
    return XDP_DROP;
  }
  connection = bpf_map_lookup_elem(flows, &packet->flow);
  if (!connection) {
    struct connection fresh = {};
    int chosen = choose(backends, packet);

    if (chosen < 0) {
      count(stats, NO_BACKEND, bytes);
      return XDP_DROP;
    }
    fresh.backend = chosen;
    bpf_map_update_elem(flows, &packet->flow, &fresh, BPF_ANY);
    count(stats, NEW_FLOW, bytes);
    connection = bpf_map_lookup_elem(flows, &packet->flow);
    if (!connection) return XDP_DROP;
  }
  connection->packets++;
  connection->bytes += bytes;
  index = connection->backend;
  backend = bpf_map_lookup_elem(backends, &index);
  if (!backend || rewrite(ctx, packet, backend)) {
    if (count_broken) count(stats, BROKEN, bytes);
    return XDP_DROP;
  }
  count(stats, FORWARDED, bytes);
  return XDP_TX;
}

#define SERVICE(n)                                                                                 \
  struct {                                                                                         \
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);                                                           \
    __uint(max_entries, 128);                                                                      \
    __uint(map_flags, BPF_F_NO_PREALLOC);                                                          \
    __type(key, struct prefix);                                                                    \
    __type(value, __u8);                                                                           \
  } acl_##n SEC(".maps");                                                                          \
  struct {                                                                                         \
    __uint(type, BPF_MAP_TYPE_HASH);                                                               \
    __uint(max_entries, 64);                                                                       \
    __type(key, struct flow);                                                                      \
    __type(value, struct connection);                                                              \
  } flows_##n SEC(".maps");                                                                        \
  struct {                                                                                         \
    __uint(type, BPF_MAP_TYPE_ARRAY);                                                              \
    __uint(max_entries, MAX_BACKENDS);                                                             \
    __type(key, __u32);                                                                            \
    __type(value, struct backend);                                                                 \
  } backends_##n SEC(".maps");                                                                     \
  struct {                                                                                         \
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                                       \
    __uint(max_entries, OUTCOMES);                                                                 \
    __type(key, __u32);                                                                            \
    __type(value, struct counters);                                                                \
  } stats_##n SEC(".maps");                                                                        \
  SEC("xdp") int service_##n(struct xdp_md *ctx) {                                                 \
    return serve(ctx, &acl_##n, &flows_##n, &backends_##n, &stats_##n);                            \
  }

#define EACH_SERVICE(DO)                                                                           \
  DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)                         \
  DO(12) DO(13) DO(14) DO(15) DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23)
EACH_SERVICE(SERVICE)

#define SLOT(n) [n] = (void *)&service_##n,
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 32);
  __uint(key_size, sizeof(__u32));
  __array(values, int(void *));
} programs SEC(".maps") = { .values = { EACH_SERVICE(SLOT) } };

SEC("xdp")
int balance(struct xdp_md *ctx) {
  struct service_key key = {};
  struct packet packet = {};
  __u16 protocol = 0;
  __u32 zero = 0;
  struct packet *found;
  __u32 *service;
  int offset;

  __sync_fetch_and_add(&seen, 1);
  offset = parse_link(ctx, &protocol);
  if (offset < 0) return XDP_PASS;
  offset = parse_network(ctx, &packet, offset, protocol);
  if (offset < 0) return XDP_PASS;
  if (parse_transport(ctx, &packet, offset)) return XDP_PASS;
  key.address = packet.flow.target;
  key.port = packet.flow.target_port;
  key.protocol = packet.flow.protocol;
  key.family = packet.flow.family;
  service = bpf_map_lookup_elem(&services, &key);
  if (!service) {
    unknown_service++;
    return XDP_PASS;
  }
  found = bpf_map_lookup_elem(&parsed, &zero);
  if (!found) return XDP_ABORTED;
  *found = packet;
  bpf_tail_call(ctx, &programs, *service);
  return XDP_ABORTED;
}

LICENSE("GPL");
