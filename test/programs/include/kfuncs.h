/* SPDX-License-Identifier: MIT */
/*
 * Kernel functions that programs may call, by name. Declared weak where an object may want to ask whether the kernel has
 * one. Objects that need others declare them themselves with __ksym.
 */
#ifndef PROGRAMS_KFUNCS_H
#define PROGRAMS_KFUNCS_H

/* Opaque: only kernel functions look inside. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
struct bpf_iter_num {
  __u64 opaque[1];
} __attribute__((aligned(8)));
#endif
struct bpf_iter_bits {
  __u64 opaque[2];
} __attribute__((aligned(8)));

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const __u64 *words, __u32 count) __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __ksym;

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;

/* Workqueue items in values. The last argument is the verifier's. */
extern int bpf_wq_init(struct bpf_wq *item, void *map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *item, unsigned int flags) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *item, int (*callback)(void *map, int *key, void *value),
                                    unsigned int flags, void *aux) __ksym;

#endif
