/* SPDX-License-Identifier: MIT */
/*
 * What the kernel was built with decides what a program does: values of its configuration as constants, of every type
 * that they come in. The verifier sees them as constants and drops the branches that they rule out.
 */
#include "bpf.h"

enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };

extern const int LINUX_KERNEL_VERSION __kconfig;
extern const __u32 CONFIG_HZ __kconfig;
extern const bool CONFIG_BPF_SYSCALL __kconfig;
extern const enum libbpf_tristate CONFIG_IPV6 __kconfig;
extern const enum libbpf_tristate CONFIG_WITHOUT_SUCH_A_NAME __kconfig __weak;
extern const char CONFIG_DEFAULT_HOSTNAME[16] __kconfig;
extern const char CONFIG_SOME_LETTER __kconfig __weak;
extern const __s64 CONFIG_SOME_NUMBER __kconfig __weak;
extern const __u16 CONFIG_SOME_PORT __kconfig __weak;

struct report {
  __u32 hz;
  __u32 flags;
  __s64 number;
  __u16 port;
  char letter;
  char hostname[16];
};

struct report report;
/* Read through an address, so that it is no constant of the compiler's. */
volatile const __u32 shift = 16;

static __noinline __u32 flags(void) {
  __u32 bits = 0;

  if (CONFIG_BPF_SYSCALL) bits |= 1;
  if (CONFIG_IPV6 == TRI_YES) bits |= 2;
  if (CONFIG_IPV6 == TRI_MODULE) bits |= 4;
  if (CONFIG_WITHOUT_SUCH_A_NAME != TRI_NO) bits |= 8;
  return bits;
}

SEC("xdp")
int tell(struct xdp_md *ctx) {
  report.hz = CONFIG_HZ;
  report.flags = flags();
  report.number = CONFIG_SOME_NUMBER;
  report.port = CONFIG_SOME_PORT;
  report.letter = CONFIG_SOME_LETTER;
  for (int i = 0; i < 16; i++) report.hostname[i] = CONFIG_DEFAULT_HOSTNAME[i];
  /* Calls a helper that no kernel has, if the branch is not dropped. */
  if (CONFIG_WITHOUT_SUCH_A_NAME) ((long (*)(void))12345)();
  return LINUX_KERNEL_VERSION >> shift;
}

SEC("xdp")
int version(struct xdp_md *ctx) {
  return LINUX_KERNEL_VERSION >= ((6 << 16) | (1 << 8)) ? XDP_PASS : XDP_DROP;
}

LICENSE("GPL");
