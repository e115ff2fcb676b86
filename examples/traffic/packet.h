/* SPDX-License-Identifier: MIT */
/* The protocol headers that traffic.bpf.c reads, as they lie in a frame. */
#ifndef TRAFFIC_PACKET_H
#define TRAFFIC_PACKET_H

#include "bpf.h"

enum {
  ETHERTYPE_IPV4 = 0x0800,
  ETHERTYPE_ARP = 0x0806,
  ETHERTYPE_VLAN = 0x8100,
  ETHERTYPE_IPV6 = 0x86dd,
};

enum {
  PROTOCOL_HOP_BY_HOP = 0,
  PROTOCOL_ICMP = 1,
  PROTOCOL_TCP = 6,
  PROTOCOL_UDP = 17,
  PROTOCOL_ROUTING = 43,
  PROTOCOL_FRAGMENT = 44,
  PROTOCOL_AUTHENTICATION = 51,
  PROTOCOL_ICMPV6 = 58,
  PROTOCOL_DESTINATION_OPTIONS = 60,
};

enum {
  ICMP_ECHO_REPLY = 0,
  ICMP_ECHO_REQUEST = 8,
  ICMPV6_ECHO_REQUEST = 128,
  ICMPV6_ECHO_REPLY = 129,
};

/* In the IPv4 word of fragment flags and offset. */
enum {
  IPV4_MORE_FRAGMENTS = 0x2000,
  IPV4_FRAGMENT_OFFSET = 0x1fff,
};

/* In the IPv6 fragment header's word of offset and flag. */
enum {
  IPV6_MORE_FRAGMENTS = 0x0001,
  IPV6_FRAGMENT_OFFSET = 0xfff8,
};

/* In a DNS header's flags. */
enum {
  DNS_IS_RESPONSE = 0x8000,
};

struct mac_address {
  __u8 bytes[6];
};

struct ethernet_header {
  struct mac_address destination;
  struct mac_address source;
  __be16 type;
};

struct vlan_tag {
  __be16 control;
  __be16 type;
};

/* An IPv6 address, or an IPv4 address mapped into IPv6: ::ffff:192.0.2.1. Aligned so that it is copied by words. */
struct ip_address {
  __u8 bytes[16];
} __attribute__((aligned(4)));

struct ipv4_header {
  __u8 version_and_length;
  __u8 service;
  __be16 total_length;
  __be16 id;
  __be16 fragment;
  __u8 time_to_live;
  __u8 protocol;
  __be16 checksum;
  __u8 source[4];
  __u8 destination[4];
};

struct ipv6_header {
  __u8 version_and_class;
  __u8 flow_label[3];
  __be16 payload_length;
  __u8 next_header;
  __u8 hop_limit;
  struct ip_address source;
  struct ip_address destination;
};

/* The beginning that the extension headers of IPv6 share; only the fragment header has the last member. */
struct ipv6_extension {
  __u8 next_header;
  __u8 length;
  __be16 fragment;
};

struct tcp_header {
  __be16 source;
  __be16 destination;
  __be32 sequence;
  __be32 acknowledgement;
  __u8 length;
  __u8 flags;
  __be16 window;
  __be16 checksum;
  __be16 urgent;
};

struct udp_header {
  __be16 source;
  __be16 destination;
  __be16 length;
  __be16 checksum;
};

/* ICMP and ICMPv6. */
struct icmp_header {
  __u8 type;
  __u8 code;
  __be16 checksum;
  __be32 rest;
};

struct dns_header {
  __be16 id;
  __be16 flags;
  __be16 questions;
  __be16 answers;
  __be16 authorities;
  __be16 additionals;
};

#endif
