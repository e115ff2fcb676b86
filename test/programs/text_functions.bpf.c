/* SPDX-License-Identifier: MIT */
/* Asks all kernel functions for text about two texts and a number. */
#include "bpf.h"
#include "kfuncs.h"

#define TEXT 24

/* Set before each run. */
char first[TEXT], second[TEXT];
__u64 count;
__u32 letter;

struct answers {
  __s32 strcmp, strcasecmp, strchr, strchrnul, strnchr, strrchr, strlen, strnlen, strspn, strcspn, strstr, strnstr;
} answers;

/* Addresses at which there is no text. */
__s32 nowhere[4];

SEC("xdp")
int ask(struct xdp_md *ctx) {
  answers.strcmp = bpf_strcmp(first, second);
  answers.strcasecmp = bpf_strcasecmp(first, second);
  answers.strchr = bpf_strchr(first, letter);
  answers.strchrnul = bpf_strchrnul(first, letter);
  answers.strnchr = bpf_strnchr(first, count, letter);
  answers.strrchr = bpf_strrchr(first, letter);
  answers.strlen = bpf_strlen(first);
  answers.strnlen = bpf_strnlen(first, count);
  answers.strspn = bpf_strspn(first, second);
  answers.strcspn = bpf_strcspn(first, second);
  answers.strstr = bpf_strstr(first, second);
  answers.strnstr = bpf_strnstr(first, second, count);
  nowhere[0] = bpf_strlen((const char *)8);
  nowhere[1] = bpf_strspn(first, (const char *)4096);
  nowhere[2] = bpf_strstr((const char *)0xffffc00000000000, second);
  nowhere[3] = bpf_strspn((const char *)0xffffffffffffff00, second);
  return XDP_PASS;
}

LICENSE("GPL");
