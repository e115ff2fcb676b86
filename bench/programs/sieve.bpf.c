/* SPDX-License-Identifier: MIT */
/* The primes below LIMIT: stores with a stride into a global array, and a pass over it. */
#include "bpf.h"

#define LIMIT 8192
/* The least number whose square is not below LIMIT. */
#define ROOT 91

__u8 composite[LIMIT];

SEC("xdp")
int sieve(struct xdp_md *ctx) {
  __u64 *words = (void *)composite;
  __u32 primes = 0;
  for (__u32 i = 0; i < LIMIT / 8; i++) WRITE_ONCE(words[i], 0);
  for (__u32 i = 2; i < ROOT; i++) {
    if (composite[i]) continue;
    for (__u32 j = i * i; j < LIMIT; j += i) composite[j] = 1;
  }
  for (__u32 i = 2; i < LIMIT; i++) primes += composite[i] ^ 1;
  return primes;
}

LICENSE("MIT");
