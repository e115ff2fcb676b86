/* SPDX-License-Identifier: MIT */
/* A switch of 16 cases in a loop: a small stack-less machine runs what a global array has for it. */
#include "bpf.h"

#define STEPS 2048

__u8 codes[STEPS];
__u64 start = 1;

SEC("xdp")
int dispatch(struct xdp_md *ctx) {
  __u64 a = start;
  __u64 b = ~start;
  for (__u32 i = 0; i < STEPS; i++) {
    switch (codes[i] & 15) {
      case 0: a += b; break;
      case 1: a -= i; break;
      case 2: a ^= b; break;
      case 3: b += 0x9e3779b9; break;
      case 4: a <<= 1; break;
      case 5: b >>= 1; break;
      case 6: a *= 33; break;
      case 7: b |= a; break;
      case 8: b &= a; break;
      case 9: a = ~a; break;
      case 10: b = -b; break;
      case 11: a = __builtin_bswap64(a); break;
      case 12: b = a + i; break;
      case 13: b ^= a >> 7; break;
      case 14: a = b; break;
      default: a += 3; break;
    }
  }
  return (__u32)(a ^ a >> 32 ^ b ^ b >> 32);
}

LICENSE("MIT");
