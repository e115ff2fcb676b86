/* SPDX-License-Identifier: MIT */
/* 64-bit arithmetic: SipHash-2-4 over a global array, xorshift64*, and division with remainder. */
#include "bpf.h"

#define WORDS 512
#define DRAWS 4096
#define DIVISIONS 1024

__u64 message[WORDS];
__u64 key[2];
__u64 state = 88172645463325252ull;
__u64 divisor = 1000003;

static __always_inline __u64 rotate(__u64 x, __u32 bits) {
  return x << bits | x >> (64 - bits);
}

struct sip {
  __u64 v0, v1, v2, v3;
};

static __always_inline void sip_round(struct sip *s) {
  s->v0 += s->v1;
  s->v1 = rotate(s->v1, 13) ^ s->v0;
  s->v0 = rotate(s->v0, 32);
  s->v2 += s->v3;
  s->v3 = rotate(s->v3, 16) ^ s->v2;
  s->v0 += s->v3;
  s->v3 = rotate(s->v3, 21) ^ s->v0;
  s->v2 += s->v1;
  s->v1 = rotate(s->v1, 17) ^ s->v2;
  s->v2 = rotate(s->v2, 32);
}

SEC("xdp")
int siphash(struct xdp_md *ctx) {
  struct sip s = {
    .v0 = key[0] ^ 0x736f6d6570736575ull,
    .v1 = key[1] ^ 0x646f72616e646f6dull,
    .v2 = key[0] ^ 0x6c7967656e657261ull,
    .v3 = key[1] ^ 0x7465646279746573ull,
  };
  for (__u32 i = 0; i < WORDS; i++) {
    s.v3 ^= message[i];
    sip_round(&s);
    sip_round(&s);
    s.v0 ^= message[i];
  }
  __u64 last = (__u64)(WORDS * 8 & 0xff) << 56;
  s.v3 ^= last;
  sip_round(&s);
  sip_round(&s);
  s.v0 ^= last;
  s.v2 ^= 0xff;
  for (__u32 i = 0; i < 4; i++) sip_round(&s);
  __u64 hash = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
  return (__u32)(hash ^ hash >> 32);
}

SEC("xdp")
int xorshift(struct xdp_md *ctx) {
  __u64 x = state;
  __u64 sum = 0;
  for (__u32 i = 0; i < DRAWS; i++) {
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    sum += x * 2685821657736338717ull >> 32;
  }
  return (__u32)sum;
}

SEC("xdp")
int divide(struct xdp_md *ctx) {
  __u64 x = state;
  __u64 sum = 0;
  for (__u32 i = 0; i < DIVISIONS; i++) {
    sum += x / divisor + x % (divisor + i);
    x = x * 6364136223846793005ull + 1442695040888963407ull;
  }
  return (__u32)(sum ^ sum >> 32);
}

LICENSE("MIT");
