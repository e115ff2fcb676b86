/* SPDX-License-Identifier: MIT */
/* Asks all kernel functions for text about two texts and a number. */
#include "bpf.h"
#include "kfuncs.h"

#define TEXT 24

#define QUESTIONS 12

struct {
  char first[TEXT], second[TEXT];
  __u64 count;
  __u32 letter;
  struct {
    __s32 strcmp, strcasecmp, strchr, strchrnul, strnchr, strrchr, strlen, strnlen, strspn, strcspn, strstr, strnstr;
  } answers;
} questions[QUESTIONS];

/* Addresses at which there is no text. */
__s32 nowhere[4];

SEC("xdp")
int ask(struct xdp_md *ctx) {
  int i;

  for (i = 0; i < QUESTIONS; i++) {
    const char *first = questions[i].first, *second = questions[i].second;
    __u64 count = questions[i].count;
    __u32 letter = questions[i].letter;

    questions[i].answers.strcmp = bpf_strcmp(first, second);
    questions[i].answers.strcasecmp = bpf_strcasecmp(first, second);
    questions[i].answers.strchr = bpf_strchr(first, letter);
    questions[i].answers.strchrnul = bpf_strchrnul(first, letter);
    questions[i].answers.strnchr = bpf_strnchr(first, count, letter);
    questions[i].answers.strrchr = bpf_strrchr(first, letter);
    questions[i].answers.strlen = bpf_strlen(first);
    questions[i].answers.strnlen = bpf_strnlen(first, count);
    questions[i].answers.strspn = bpf_strspn(first, second);
    questions[i].answers.strcspn = bpf_strcspn(first, second);
    questions[i].answers.strstr = bpf_strstr(first, second);
    questions[i].answers.strnstr = bpf_strnstr(first, second, count);
  }
  nowhere[0] = bpf_strlen((const char *)8);
  nowhere[1] = bpf_strspn(questions[0].first, (const char *)4096);
  nowhere[2] = bpf_strstr((const char *)0xffffc00000000000, questions[0].second);
  nowhere[3] = bpf_strspn((const char *)0xffffffffffffff00, questions[0].second);
  return XDP_PASS;
}

LICENSE("GPL");
