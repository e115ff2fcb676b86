/* SPDX-License-Identifier: MIT */
/*
 * traffic: an XDP program that counts what passes. It reads Ethernet (with one VLAN tag at most), IPv4, IPv6, TCP, UDP,
 * ICMP and ICMPv6, and keeps its counts in ten types of maps and in global variables. Frames that lie about themselves
 * are dropped, pings to one address are answered, everything else passes.
 */
#include "bpf.h"
#include "packet.h"

#define MAX_EXTENSION_HEADERS 6
#define MAX_IPV4_HEADER_WORDS 30
/* More than any frame is long; tells the verifier how far an offset can go. */
#define OFFSET_MASK 0x3fff

/* ---- what the maps hold ---- */

struct counter {
  __u64 packets;
  __u64 bytes;
};

/* The five-tuple of IPv4 and IPv6. Ports are 0 for protocols without ports and for all fragments but the first. */
struct flow_key {
  struct ip_address source;
  struct ip_address destination;
  __be16 source_port;
  __be16 destination_port;
  __u8 protocol;
  __u8 padding[3];
};

struct flow {
  __u64 packets;
  __u64 bytes;
  __u64 first_seen;
  __u64 last_seen;
};

/* The indexes of `protocols`. */
enum protocol_class {
  CLASS_ETHERNET_OTHER,
  CLASS_ARP,
  CLASS_IPV4_TCP,
  CLASS_IPV4_UDP,
  CLASS_IPV4_ICMP,
  CLASS_IPV6_TCP,
  CLASS_IPV6_UDP,
  CLASS_IPV6_ICMP,
  CLASS_IP_OTHER,
  CLASS_MALFORMED,
  CLASSES,
};

/* What is wrong with a malformed frame. */
enum fault {
  FAULT_NONE,
  FAULT_ETHERNET_CUT,
  FAULT_IPV4_CUT,
  FAULT_IPV4_VERSION,
  FAULT_IPV4_HEADER_LENGTH,
  FAULT_IPV4_TOTAL_LENGTH,
  FAULT_IPV4_CHECKSUM,
  FAULT_IPV6_CUT,
  FAULT_IPV6_VERSION,
  FAULT_IPV6_PAYLOAD_LENGTH,
  FAULT_IPV6_EXTENSIONS,
  FAULT_TCP_CUT,
  FAULT_TCP_HEADER_LENGTH,
  FAULT_UDP_CUT,
  FAULT_UDP_LENGTH,
  FAULT_ICMP_CUT,
};

struct new_flow {
  struct flow_key key;
  __u64 time;
  __u32 length;
  enum protocol_class class;
  /* 0 for the first event: a gap is an event that was lost. */
  __u64 number;
};

struct network {
  __u32 prefixlen;
  struct ip_address address;
};

struct dns_query {
  struct ip_address client;
  __be16 id;
  __be16 questions;
};

struct rejected {
  __u64 time;
  __u32 length;
  enum fault fault;
};

/* ---- maps ---- */

/* Zero seeds make the order of entries, and what the bloom filter takes for seen, the same in every run. */

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 2048);
  __uint(map_flags, BPF_F_ZERO_SEED);
  __type(key, struct flow_key);
  __type(value, struct flow);
} flows SEC(".maps");

/* One entry for each enum xdp_action. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, XDP_REDIRECT + 1);
  __type(key, __u32);
  __type(value, struct counter);
} actions SEC(".maps");

/* One entry for each enum protocol_class. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, CLASSES);
  __type(key, __u32);
  __type(value, struct counter);
} protocols SEC(".maps");

/* Key n: frames of 2^n bytes and more, but less than 2^(n+1). */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(max_entries, 32);
  __uint(map_flags, BPF_F_ZERO_SEED);
  __type(key, __u32);
  __type(value, struct counter);
} sizes SEC(".maps");

/* The sources that were heard of last. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16);
  __uint(map_flags, BPF_F_ZERO_SEED);
  __type(key, struct ip_address);
  __type(value, struct counter);
} talkers SEC(".maps");

/* Counts by destination. The user puts the networks in, see networks.json. */
struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 64);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct network);
  __type(value, struct counter);
} networks SEC(".maps");

/* Every destination port of TCP and UDP that was seen. */
struct {
  __uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
  __uint(max_entries, 1024);
  __uint(map_flags, BPF_F_ZERO_SEED);
  __uint(map_extra, 4);
  __type(value, __be16);
} seen_ports SEC(".maps");

/* The last DNS queries; a new one pushes the oldest out. */
struct {
  __uint(type, BPF_MAP_TYPE_QUEUE);
  __uint(max_entries, 32);
  __type(value, struct dns_query);
} last_dns SEC(".maps");

/* The last malformed frames, the newest on top. */
struct {
  __uint(type, BPF_MAP_TYPE_STACK);
  __uint(max_entries, 64);
  __type(value, struct rejected);
} last_rejected SEC(".maps");

/* One event for each new flow; holds as many as there can be flows. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 256 * 1024);
} new_flows SEC(".maps");

/* ---- global variables ---- */

/* What a loader may change before the program is loaded. */
struct config {
  /* Pings to this address are answered by the program. */
  struct ip_address echo_address_ipv4;
  struct ip_address echo_address_ipv6;
  __u16 dns_port;
  _Bool answer_echo;
};

const volatile struct config config = {
  .echo_address_ipv4 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 7}},
  .echo_address_ipv6 = {{0x20, 0x01, 0x0d, 0xb8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}},
  .dns_port = 53,
  .answer_echo = 1,
};

/* The shortest and the longest frame. Two CPUs may overwrite each other here; the counters below are exact. */
struct range {
  __u32 shortest;
  __u32 longest;
} frame_lengths = {.shortest = 0xffffffff, .longest = 0};

__u64 frames;
__u64 vlan_frames;
__u64 fragments;
/* Destinations in none of `networks`. */
__u64 unrouted;
/* Destination ports that `seen_ports` did not know. */
__u64 ports_first_seen;
/* New flows that found `flows` full. */
__u64 flows_lost;
/* Events made so far, and those of them that found `new_flows` full. */
__u64 events;
__u64 events_lost;

const char traffic_license[] SEC("license") = "MIT";

/* ---- reading a frame ---- */

/* What parse() finds out about a frame. */
struct packet {
  struct flow_key key;
  __u64 time;
  __u32 length;
  enum protocol_class class;
  /* From the frame's beginning to the TCP, UDP or ICMP header; 0 if there is none in this frame. */
  __u32 transport;
  /* From there to the packet's end, as the IP header tells it. */
  __u32 transport_length;
  _Bool is_ip;
  _Bool is_fragment;
};

INLINE void map_ipv4(struct ip_address *address, const __u8 *ipv4) {
  address->bytes[10] = 0xff;
  address->bytes[11] = 0xff;
  __builtin_memcpy(&address->bytes[12], ipv4, 4);
}

/* The sum over an IPv4 header with a good checksum is 0xffff. */
static NOINLINE __u32 sum_ipv4_header(struct xdp_md *ctx, __u32 offset, __u32 length) {
  void *end = (void *)(long)ctx->data_end;
  void *cursor = (void *)(long)ctx->data + (offset & OFFSET_MASK);
  __u32 sum = 0;
  for (__u32 word = 0; word < MAX_IPV4_HEADER_WORDS; word++) {
    if (word * 2 >= length || cursor + 2 > end) break;
    sum += *(__be16 *)cursor;
    cursor += 2;
  }
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

static NOINLINE enum fault parse_transport(struct xdp_md *ctx, struct packet *packet) {
  void *end = (void *)(long)ctx->data_end;
  void *header = (void *)(long)ctx->data + (packet->transport & OFFSET_MASK);
  __u32 length = packet->transport_length;
  switch (packet->key.protocol) {
    case PROTOCOL_TCP: {
      struct tcp_header *tcp = header;
      if (length < sizeof(*tcp) || (void *)(tcp + 1) > end) return FAULT_TCP_CUT;
      __u32 header_length = (tcp->length >> 4) * 4;
      if (header_length < sizeof(*tcp) || header_length > length) return FAULT_TCP_HEADER_LENGTH;
      packet->key.source_port = tcp->source;
      packet->key.destination_port = tcp->destination;
      return FAULT_NONE;
    }
    case PROTOCOL_UDP: {
      struct udp_header *udp = header;
      if (length < sizeof(*udp) || (void *)(udp + 1) > end) return FAULT_UDP_CUT;
      __u32 udp_length = bpf_ntohs(udp->length);
      /* The first fragment holds less than the datagram. */
      if (udp_length < sizeof(*udp) || (udp_length > length && !packet->is_fragment)) return FAULT_UDP_LENGTH;
      packet->key.source_port = udp->source;
      packet->key.destination_port = udp->destination;
      return FAULT_NONE;
    }
    case PROTOCOL_ICMP:
    case PROTOCOL_ICMPV6:
      return length < sizeof(struct icmp_header) ? FAULT_ICMP_CUT : FAULT_NONE;
    default:
      return FAULT_NONE;
  }
}

static NOINLINE enum fault parse_ipv4(struct xdp_md *ctx, struct packet *packet, __u32 offset) {
  void *end = (void *)(long)ctx->data_end;
  struct ipv4_header *ip = (void *)(long)ctx->data + (offset & OFFSET_MASK);
  if ((void *)(ip + 1) > end) return FAULT_IPV4_CUT;
  if (ip->version_and_length >> 4 != 4) return FAULT_IPV4_VERSION;
  __u32 header_length = (ip->version_and_length & 15) * 4;
  if (header_length < sizeof(*ip)) return FAULT_IPV4_HEADER_LENGTH;
  __u32 total_length = bpf_ntohs(ip->total_length);
  if (total_length < header_length || total_length > packet->length - offset) return FAULT_IPV4_TOTAL_LENGTH;
  if (sum_ipv4_header(ctx, offset, header_length) != 0xffff) return FAULT_IPV4_CHECKSUM;

  map_ipv4(&packet->key.source, ip->source);
  map_ipv4(&packet->key.destination, ip->destination);
  packet->key.protocol = ip->protocol;
  packet->is_ip = 1;
  switch (ip->protocol) {
    case PROTOCOL_TCP:
      packet->class = CLASS_IPV4_TCP;
      break;
    case PROTOCOL_UDP:
      packet->class = CLASS_IPV4_UDP;
      break;
    case PROTOCOL_ICMP:
      packet->class = CLASS_IPV4_ICMP;
      break;
    default:
      packet->class = CLASS_IP_OTHER;
      return FAULT_NONE;
  }
  __u32 fragment = bpf_ntohs(ip->fragment);
  packet->is_fragment = (fragment & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET)) != 0;
  if (fragment & IPV4_FRAGMENT_OFFSET) return FAULT_NONE;
  packet->transport = offset + header_length;
  packet->transport_length = total_length - header_length;
  return parse_transport(ctx, packet);
}

static NOINLINE enum fault parse_ipv6(struct xdp_md *ctx, struct packet *packet, __u32 offset) {
  void *end = (void *)(long)ctx->data_end;
  struct ipv6_header *ip = (void *)(long)ctx->data + (offset & OFFSET_MASK);
  if ((void *)(ip + 1) > end) return FAULT_IPV6_CUT;
  if (ip->version_and_class >> 4 != 6) return FAULT_IPV6_VERSION;
  __u32 payload_length = bpf_ntohs(ip->payload_length);
  if (payload_length > packet->length - offset - sizeof(*ip)) return FAULT_IPV6_PAYLOAD_LENGTH;
  packet->key.source = ip->source;
  packet->key.destination = ip->destination;

  __u32 next_header = ip->next_header;
  __u32 skipped = 0;
  __u32 fragment = 0;
  void *cursor = ip + 1;
  int count;
  for (count = 0; count <= MAX_EXTENSION_HEADERS; count++) {
    struct ipv6_extension *extension = cursor;
    __u32 length;
    if (next_header == PROTOCOL_FRAGMENT) {
      length = 8;
    } else if (next_header == PROTOCOL_AUTHENTICATION) {
      if ((void *)(extension + 1) > end) return FAULT_IPV6_EXTENSIONS;
      length = (extension->length + 2) * 4;
    } else if (next_header == PROTOCOL_HOP_BY_HOP || next_header == PROTOCOL_ROUTING ||
               next_header == PROTOCOL_DESTINATION_OPTIONS) {
      if ((void *)(extension + 1) > end) return FAULT_IPV6_EXTENSIONS;
      length = (extension->length + 1) * 8;
    } else {
      break;
    }
    if ((void *)(extension + 1) > end) return FAULT_IPV6_EXTENSIONS;
    if (next_header == PROTOCOL_FRAGMENT) fragment = bpf_ntohs(extension->fragment);
    skipped += length;
    if (skipped > payload_length) return FAULT_IPV6_EXTENSIONS;
    next_header = extension->next_header;
    cursor += length;
    /* What follows in a later fragment is the middle of something. */
    if (fragment & IPV6_FRAGMENT_OFFSET) break;
  }
  if (count > MAX_EXTENSION_HEADERS) return FAULT_IPV6_EXTENSIONS;

  packet->key.protocol = next_header;
  packet->is_ip = 1;
  switch (next_header) {
    case PROTOCOL_TCP:
      packet->class = CLASS_IPV6_TCP;
      break;
    case PROTOCOL_UDP:
      packet->class = CLASS_IPV6_UDP;
      break;
    case PROTOCOL_ICMPV6:
      packet->class = CLASS_IPV6_ICMP;
      break;
    default:
      packet->class = CLASS_IP_OTHER;
      return FAULT_NONE;
  }
  packet->is_fragment = (fragment & (IPV6_MORE_FRAGMENTS | IPV6_FRAGMENT_OFFSET)) != 0;
  if (fragment & IPV6_FRAGMENT_OFFSET) return FAULT_NONE;
  packet->transport = offset + sizeof(*ip) + skipped;
  packet->transport_length = payload_length - skipped;
  return parse_transport(ctx, packet);
}

static NOINLINE enum fault parse(struct xdp_md *ctx, struct packet *packet) {
  void *end = (void *)(long)ctx->data_end;
  struct ethernet_header *ethernet = (void *)(long)ctx->data;
  if ((void *)(ethernet + 1) > end) return FAULT_ETHERNET_CUT;
  __u32 offset = sizeof(*ethernet);
  __be16 type = ethernet->type;
  if (type == bpf_htons(ETHERTYPE_VLAN)) {
    struct vlan_tag *tag = (void *)(ethernet + 1);
    if ((void *)(tag + 1) > end) return FAULT_ETHERNET_CUT;
    __sync_fetch_and_add(&vlan_frames, 1);
    offset += sizeof(*tag);
    type = tag->type;
  }
  switch (bpf_ntohs(type)) {
    case ETHERTYPE_IPV4:
      return parse_ipv4(ctx, packet, offset);
    case ETHERTYPE_IPV6:
      return parse_ipv6(ctx, packet, offset);
    case ETHERTYPE_ARP:
      packet->class = CLASS_ARP;
      return FAULT_NONE;
    default:
      packet->class = CLASS_ETHERNET_OTHER;
      return FAULT_NONE;
  }
}

/* ---- counting ---- */

/* For entries that belong to this CPU. */
INLINE void count_here(struct counter *counter, __u32 length) {
  counter->packets += 1;
  counter->bytes += length;
}

/* For entries that all CPUs share. */
INLINE void count_shared(struct counter *counter, __u32 length) {
  __sync_fetch_and_add(&counter->packets, 1);
  __sync_fetch_and_add(&counter->bytes, length);
}

/* floor(log2(value)), 0 for 0. Not static: the verifier checks it once, for every value. */
NOINLINE __u32 log2_of(__u32 value) {
  __u32 result = 0;
  for (__u32 step = 16; step > 0; step >>= 1) {
    if (value >> step) {
      value >>= step;
      result += step;
    }
  }
  return result;
}

static NOINLINE void count_frame(struct packet *packet) {
  __sync_fetch_and_add(&frames, 1);
  if (packet->length < frame_lengths.shortest) frame_lengths.shortest = packet->length;
  if (packet->length > frame_lengths.longest) frame_lengths.longest = packet->length;

  __u32 class = packet->class;
  struct counter *counter = bpf_map_lookup_elem(&protocols, &class);
  if (counter) count_here(counter, packet->length);

  __u32 size = log2_of(packet->length);
  counter = bpf_map_lookup_elem(&sizes, &size);
  if (counter) {
    count_here(counter, packet->length);
  } else {
    struct counter first = {.packets = 1, .bytes = packet->length};
    bpf_map_update_elem(&sizes, &size, &first, BPF_NOEXIST);
  }
}

static NOINLINE void report_flow(struct packet *packet) {
  __u64 number = __sync_fetch_and_add(&events, 1);
  struct new_flow *event = bpf_ringbuf_reserve(&new_flows, sizeof(*event), 0);
  if (!event) {
    __sync_fetch_and_add(&events_lost, 1);
    return;
  }
  event->key = packet->key;
  event->time = packet->time;
  event->length = packet->length;
  event->class = packet->class;
  event->number = number;
  bpf_ringbuf_submit(event, 0);
}

static NOINLINE void count_flow(struct packet *packet) {
  struct flow *flow = bpf_map_lookup_elem(&flows, &packet->key);
  if (!flow) {
    struct flow first = {
      .packets = 1, .bytes = packet->length, .first_seen = packet->time, .last_seen = packet->time};
    if (bpf_map_update_elem(&flows, &packet->key, &first, BPF_NOEXIST) == 0) {
      report_flow(packet);
      return;
    }
    /* Either the map is full, or another CPU put this flow in since. */
    flow = bpf_map_lookup_elem(&flows, &packet->key);
    if (!flow) {
      __sync_fetch_and_add(&flows_lost, 1);
      return;
    }
  }
  __sync_fetch_and_add(&flow->packets, 1);
  __sync_fetch_and_add(&flow->bytes, packet->length);
  flow->last_seen = packet->time;
}

static NOINLINE void count_addresses(struct packet *packet) {
  struct counter *counter = bpf_map_lookup_elem(&talkers, &packet->key.source);
  if (counter) {
    count_shared(counter, packet->length);
  } else {
    struct counter first = {.packets = 1, .bytes = packet->length};
    bpf_map_update_elem(&talkers, &packet->key.source, &first, BPF_ANY);
  }

  struct network host = {.prefixlen = 128, .address = packet->key.destination};
  counter = bpf_map_lookup_elem(&networks, &host);
  if (counter) {
    count_shared(counter, packet->length);
  } else {
    __sync_fetch_and_add(&unrouted, 1);
  }
}

static NOINLINE void note_port(struct packet *packet) {
  __be16 port = packet->key.destination_port;
  if (bpf_map_peek_elem(&seen_ports, &port) == 0) return;
  __sync_fetch_and_add(&ports_first_seen, 1);
  bpf_map_push_elem(&seen_ports, &port, BPF_ANY);
}

static NOINLINE void note_dns_query(struct xdp_md *ctx, struct packet *packet) {
  void *end = (void *)(long)ctx->data_end;
  void *udp = (void *)(long)ctx->data + (packet->transport & OFFSET_MASK);
  struct dns_header *dns = udp + sizeof(struct udp_header);
  if (packet->transport_length < sizeof(struct udp_header) + sizeof(*dns) || (void *)(dns + 1) > end) return;
  if (bpf_ntohs(dns->flags) & DNS_IS_RESPONSE) return;
  struct dns_query query = {.client = packet->key.source, .id = dns->id, .questions = dns->questions};
  bpf_map_push_elem(&last_dns, &query, BPF_EXIST);
}

static NOINLINE void reject(struct packet *packet, enum fault fault) {
  struct rejected rejected = {.time = packet->time, .length = packet->length, .fault = fault};
  bpf_map_push_elem(&last_rejected, &rejected, BPF_EXIST);
}

/* ---- answering pings ---- */

/* The checksum after one word of what it covers has changed (RFC 1624). */
static NOINLINE __be16 change_checksum(__be16 checksum, __be16 from, __be16 to) {
  __u32 sum = (__u16)~checksum + (__u16)~from + to;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

INLINE _Bool is_address(const struct ip_address *address, const volatile struct ip_address *wanted) {
#pragma clang loop unroll(disable)
  for (int i = 0; i < 16; i++) {
    if (address->bytes[i] != wanted->bytes[i]) return 0;
  }
  return 1;
}

/* Makes an echo request the reply to itself; 0 if it is none, or none that is for us. */
static NOINLINE int answer_echo(struct xdp_md *ctx, struct packet *packet) {
  void *end = (void *)(long)ctx->data_end;
  void *data = (void *)(long)ctx->data;
  _Bool is_ipv4 = packet->class == CLASS_IPV4_ICMP;
  if (!config.answer_echo || packet->is_fragment) return 0;
  if (is_ipv4 ? !is_address(&packet->key.destination, &config.echo_address_ipv4)
              : !is_address(&packet->key.destination, &config.echo_address_ipv6))
    return 0;

  struct ethernet_header *ethernet = data;
  struct icmp_header *icmp = data + (packet->transport & OFFSET_MASK);
  if ((void *)(ethernet + 1) > end || (void *)(icmp + 1) > end) return 0;
  __u8 request = is_ipv4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST;
  __u8 reply = is_ipv4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY;
  if (icmp->type != request || icmp->code != 0) return 0;

  /* Swapping the addresses changes no checksum: a sum knows no order. */
  __u32 offset = ethernet->type == bpf_htons(ETHERTYPE_VLAN) ? sizeof(*ethernet) + sizeof(struct vlan_tag)
                                                              : sizeof(*ethernet);
  if (is_ipv4) {
    struct ipv4_header *ip = data + offset;
    if ((void *)(ip + 1) > end) return 0;
    __builtin_memcpy(ip->source, &packet->key.destination.bytes[12], 4);
    __builtin_memcpy(ip->destination, &packet->key.source.bytes[12], 4);
  } else {
    struct ipv6_header *ip = data + offset;
    if ((void *)(ip + 1) > end) return 0;
    ip->source = packet->key.destination;
    ip->destination = packet->key.source;
  }
  struct mac_address mac = ethernet->source;
  ethernet->source = ethernet->destination;
  ethernet->destination = mac;
  icmp->type = reply;
  icmp->checksum = change_checksum(icmp->checksum, bpf_htons(request << 8), bpf_htons(reply << 8));
  return 1;
}

/* ---- the program ---- */

static NOINLINE enum xdp_action handle(struct xdp_md *ctx, struct packet *packet) {
  enum fault fault = parse(ctx, packet);
  if (fault != FAULT_NONE) {
    packet->class = CLASS_MALFORMED;
    count_frame(packet);
    reject(packet, fault);
    return XDP_DROP;
  }
  count_frame(packet);
  if (!packet->is_ip) return XDP_PASS;

  if (packet->is_fragment) __sync_fetch_and_add(&fragments, 1);
  count_flow(packet);
  count_addresses(packet);
  switch (packet->class) {
    case CLASS_IPV4_UDP:
    case CLASS_IPV6_UDP:
      if (packet->key.destination_port == bpf_htons(config.dns_port)) note_dns_query(ctx, packet);
      if (packet->transport) note_port(packet);
      return XDP_PASS;
    case CLASS_IPV4_TCP:
    case CLASS_IPV6_TCP:
      if (packet->transport) note_port(packet);
      return XDP_PASS;
    case CLASS_IPV4_ICMP:
    case CLASS_IPV6_ICMP:
      return packet->transport && answer_echo(ctx, packet) ? XDP_TX : XDP_PASS;
    default:
      return XDP_PASS;
  }
}

SEC("xdp")
int traffic(struct xdp_md *ctx) {
  struct packet packet = {.time = bpf_ktime_get_ns(), .length = ctx->data_end - ctx->data};
  __u32 action = handle(ctx, &packet);
  struct counter *counter = bpf_map_lookup_elem(&actions, &action);
  if (counter) count_shared(counter, packet.length);
  return action;
}
