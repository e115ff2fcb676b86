/* SPDX-License-Identifier: MIT */
/*
 * Parses Ethernet, IPv4 with options, and UDP by slices of a dynptr, then answers echo requests in place: no bounds are
 * compared by hand, and packets of several pages work too.
 */
#include "bpf.h"
#include "kfuncs.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#define ECHO_PORT 7

__u64 too_short, not_udp, echoed;
/* What the dynptr says, one after the other. */
__s64 says[16];

static __always_inline void swap_addresses(struct ethhdr *eth) {
  __u8 other[ETH_ALEN];

  memcpy(other, eth->h_dest, ETH_ALEN);
  memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
  memcpy(eth->h_source, other, ETH_ALEN);
}

SEC("xdp.frags")
int echo(struct xdp_md *ctx) {
  __u8 eth_room[sizeof(struct ethhdr)], ip_room[sizeof(struct iphdr)], udp_room[sizeof(struct udphdr)];
  struct bpf_dynptr packet;
  struct ethhdr *eth;
  struct iphdr *ip;
  struct udphdr *udp;
  __u32 at = sizeof(*eth);
  __be32 address;
  __be16 port;

  if (bpf_dynptr_from_xdp(ctx, 0, &packet)) return XDP_ABORTED;
  ip = bpf_dynptr_slice(&packet, at, ip_room, sizeof(ip_room));
  if (!ip) goto short_packet;
  if (ip->version != 4 || ip->protocol != IPPROTO_UDP) {
    not_udp++;
    return XDP_PASS;
  }
  at += ip->ihl * 4;
  udp = bpf_dynptr_slice_rdwr(&packet, at, udp_room, sizeof(udp_room));
  if (!udp) goto short_packet;
  if (udp->dest != bpf_htons(ECHO_PORT)) return XDP_PASS;
  port = udp->source;
  udp->source = udp->dest;
  udp->dest = port;
  if (udp == (void *)udp_room) bpf_dynptr_write(&packet, at, udp_room, sizeof(udp_room), 0);

  ip = bpf_dynptr_slice_rdwr(&packet, sizeof(*eth), ip_room, sizeof(ip_room));
  if (!ip) goto short_packet;
  address = ip->saddr;
  ip->saddr = ip->daddr;
  ip->daddr = address;
  if (ip == (void *)ip_room) bpf_dynptr_write(&packet, sizeof(*eth), ip_room, sizeof(ip_room), 0);

  eth = bpf_dynptr_slice_rdwr(&packet, 0, eth_room, sizeof(eth_room));
  if (!eth) goto short_packet;
  swap_addresses(eth);
  echoed++;
  return XDP_TX;

short_packet:
  too_short++;
  return XDP_DROP;
}

/* A dynptr is as long as the packet was: what was cut off since is refused by the packet itself. */
SEC("xdp")
int shrink(struct xdp_md *ctx) {
  struct bpf_dynptr packet, window;
  __u8 bytes[8] = {}, *slice;

  says[0] = bpf_dynptr_from_xdp(ctx, 1, &packet);
  says[1] = bpf_dynptr_read(bytes, 1, &packet, 0, 0);
  says[2] = bpf_dynptr_from_xdp(ctx, 0, &packet);
  says[3] = bpf_dynptr_clone(&packet, &window);
  says[4] = bpf_dynptr_adjust(&window, 10, 50);
  says[5] = bpf_dynptr_size(&window);
  says[6] = bpf_xdp_adjust_tail(ctx, -20);
  says[7] = bpf_dynptr_size(&packet);
  says[8] = bpf_dynptr_read(bytes, 8, &packet, 40, 0);
  says[9] = bpf_dynptr_write(&packet, 36, bytes, 8, 0);
  says[10] = bpf_dynptr_read(bytes, 8, &window, 26, 0);
  says[11] = bytes[0];
  says[12] = bpf_dynptr_read(bytes, 8, &window, 33, 0);
  slice = bpf_dynptr_slice(&window, 30, NULL, 8);
  says[13] = !slice;
  says[14] = bpf_dynptr_memset(&packet, 30, 14, 0x55);
  says[15] = bpf_dynptr_copy(&packet, 0, &window, 0, 34);
  return XDP_PASS;
}

LICENSE("GPL");
