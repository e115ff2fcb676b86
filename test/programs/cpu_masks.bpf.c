/* SPDX-License-Identifier: MIT */
/*
 * Sets of CPUs as schedulers keep them: one that the program makes, fills and asks about, and one that stays behind in a
 * map. Beside it what a program says on its streams, and how many elements its maps have.
 */
#include "bpf.h"
#include "kfuncs.h"

struct cpumask {
  unsigned long bits[1];
};
struct bpf_cpumask {
  struct cpumask cpumask;
};

/* Of a truth value the kernel gives one byte; what stands in the others is anybody's guess. */
extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *mask) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *mask) __ksym;
extern __u32 bpf_cpumask_first(const struct cpumask *mask) __ksym;
extern __u32 bpf_cpumask_first_zero(const struct cpumask *mask) __ksym;
extern __u32 bpf_cpumask_first_and(const struct cpumask *a, const struct cpumask *b) __ksym;
extern void bpf_cpumask_set_cpu(__u32 cpu, struct bpf_cpumask *mask) __ksym;
extern void bpf_cpumask_clear_cpu(__u32 cpu, struct bpf_cpumask *mask) __ksym;
extern int bpf_cpumask_test_cpu(__u32 cpu, const struct cpumask *mask) __ksym;
extern int bpf_cpumask_test_and_set_cpu(__u32 cpu, struct bpf_cpumask *mask) __ksym;
extern int bpf_cpumask_test_and_clear_cpu(__u32 cpu, struct bpf_cpumask *mask) __ksym;
extern void bpf_cpumask_setall(struct bpf_cpumask *mask) __ksym;
extern void bpf_cpumask_clear(struct bpf_cpumask *mask) __ksym;
extern int bpf_cpumask_and(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b) __ksym;
extern void bpf_cpumask_or(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b) __ksym;
extern void bpf_cpumask_xor(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b) __ksym;
extern int bpf_cpumask_equal(const struct cpumask *a, const struct cpumask *b) __ksym;
extern int bpf_cpumask_intersects(const struct cpumask *a, const struct cpumask *b) __ksym;
extern int bpf_cpumask_subset(const struct cpumask *a, const struct cpumask *b) __ksym;
extern int bpf_cpumask_empty(const struct cpumask *mask) __ksym;
extern int bpf_cpumask_full(const struct cpumask *mask) __ksym;
extern void bpf_cpumask_copy(struct bpf_cpumask *to, const struct cpumask *from) __ksym;
extern __u32 bpf_cpumask_any_distribute(const struct cpumask *mask) __ksym;
extern __u32 bpf_cpumask_any_and_distribute(const struct cpumask *a, const struct cpumask *b) __ksym;
extern __u32 bpf_cpumask_weight(const struct cpumask *mask) __ksym;
extern int bpf_cpumask_populate(struct cpumask *to, void *from, unsigned long size) __ksym;

struct bpf_map {
  __u32 id;
};
extern __s64 bpf_map_sum_elem_count(const struct bpf_map *map) __ksym;
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym;
/* The last argument is the verifier's. */
extern int bpf_stream_vprintk_impl(int stream, const char *format, const void *args, __u32 size, void *aux) __ksym;

#define STDOUT 1
#define STDERR 2
#define CPUS(mask) ((const struct cpumask *)(mask))

__s64 answers[64];
__u32 asked;

#define ANSWER(value) (answers[asked++ & 63] = (value))

static __always_inline void ask_one(const struct bpf_cpumask *mask) {
  ANSWER(bpf_cpumask_first(CPUS(mask)));
  ANSWER(bpf_cpumask_first_zero(CPUS(mask)));
  ANSWER(bpf_cpumask_empty(CPUS(mask)) & 1);
  ANSWER(bpf_cpumask_full(CPUS(mask)) & 1);
  ANSWER(bpf_cpumask_weight(CPUS(mask)));
  ANSWER(mask->cpumask.bits[0] & 3);
}

static __always_inline void ask_two(const struct bpf_cpumask *a, const struct bpf_cpumask *b, struct bpf_cpumask *to) {
  ANSWER(bpf_cpumask_equal(CPUS(a), CPUS(b)) & 1);
  ANSWER(bpf_cpumask_intersects(CPUS(a), CPUS(b)) & 1);
  ANSWER(bpf_cpumask_subset(CPUS(a), CPUS(b)) & 1);
  ANSWER(bpf_cpumask_first_and(CPUS(a), CPUS(b)));
  ANSWER(bpf_cpumask_and(to, CPUS(a), CPUS(b)) & 1);
  bpf_cpumask_xor(to, CPUS(a), CPUS(b));
  ANSWER(bpf_cpumask_weight(CPUS(to)));
  bpf_cpumask_or(to, CPUS(a), CPUS(b));
  ANSWER(bpf_cpumask_weight(CPUS(to)));
}

/* Every function, on sets of none, one and all CPUs. */
SEC("syscall")
int masks(void *ctx) {
  struct bpf_cpumask *a = bpf_cpumask_create(), *b, *to, *again;
  __u64 words[16] = {2};

  if (!a)
    return 1;
  b = bpf_cpumask_create();
  if (!b) {
    bpf_cpumask_release(a);
    return 1;
  }
  to = bpf_cpumask_create();
  if (!to) {
    bpf_cpumask_release(a);
    bpf_cpumask_release(b);
    return 1;
  }
  asked = 0;
  ask_one(a);
  ANSWER(bpf_cpumask_any_distribute(CPUS(a)));
  bpf_cpumask_set_cpu(1, a);
  bpf_cpumask_set_cpu(5000, a);
  ask_one(a);
  ANSWER(bpf_cpumask_any_distribute(CPUS(a)));
  ANSWER(bpf_cpumask_test_cpu(1, CPUS(a)) & 1);
  ANSWER(bpf_cpumask_test_cpu(0, CPUS(a)) & 1);
  ANSWER(bpf_cpumask_test_cpu(5000, CPUS(a)) & 1);
  ANSWER(bpf_cpumask_test_and_set_cpu(1, a) & 1);
  ANSWER(bpf_cpumask_test_and_set_cpu(0, a) & 1);
  ANSWER(bpf_cpumask_test_and_clear_cpu(0, a) & 1);
  ANSWER(bpf_cpumask_test_and_clear_cpu(4000, a) & 1);
  ask_two(a, b, to);
  bpf_cpumask_setall(b);
  ask_one(b);
  ask_two(a, b, to);
  ANSWER(bpf_cpumask_any_and_distribute(CPUS(a), CPUS(b)));
  bpf_cpumask_clear_cpu(1, b);
  ANSWER(bpf_cpumask_first(CPUS(b)));
  bpf_cpumask_copy(b, CPUS(a));
  ANSWER(bpf_cpumask_equal(CPUS(a), CPUS(b)) & 1);
  bpf_cpumask_clear(a);
  ANSWER(bpf_cpumask_empty(CPUS(a)) & 1);
  ANSWER(bpf_cpumask_populate((struct cpumask *)a, words, sizeof(words)));
  ANSWER(a->cpumask.bits[0] & 3);
  ANSWER(bpf_cpumask_populate((struct cpumask *)a, words, 4));
  ANSWER(bpf_cpumask_populate((struct cpumask *)a, (char *)words + 1, 64));
  again = bpf_cpumask_acquire(a);
  bpf_cpumask_release(a);
  ANSWER(bpf_cpumask_weight(CPUS(again)));
  bpf_cpumask_release(again);
  bpf_cpumask_release(b);
  bpf_cpumask_release(to);
  return 0;
}

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, __u32);
} hash SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);
  __type(value, __u32);
} grown SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, __u32);
} recent SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 3);
  __type(key, __u32);
  __type(value, __u32);
} array SEC(".maps");

__s64 counts[4];

static __always_inline void fill(void *map) {
  __u32 keys[5] = {0, 1, 2, 3, 4}, zero = 0;

#pragma unroll
  for (int i = 0; i < 5; i++)
    bpf_map_update_elem(map, &keys[i], &keys[i], BPF_ANY);
  bpf_map_update_elem(map, &zero, &zero, BPF_EXIST);
  bpf_map_delete_elem(map, &zero);
}

SEC("syscall")
int count(void *ctx) {
  fill(&hash);
  fill(&grown);
  fill(&recent);
  counts[0] = bpf_map_sum_elem_count((struct bpf_map *)&hash);
  counts[1] = bpf_map_sum_elem_count((struct bpf_map *)&grown);
  counts[2] = bpf_map_sum_elem_count((struct bpf_map *)&recent);
  counts[3] = bpf_map_sum_elem_count((struct bpf_map *)&array);
  return 0;
}

struct pair {
  __u32 first, second;
};
struct pair given = {3, 4};

/* The same memory under another type. */
SEC("syscall")
int cast(void *ctx) {
  const __u64 *whole = bpf_rdonly_cast(&given, 0);
  const __u64 *nothing = bpf_rdonly_cast(NULL, 0);

  return *whole == 0x400000003ULL && *nothing == 0;
}

__s32 printed[6];

#define PRINT(stream, format, args, size) bpf_stream_vprintk_impl(stream, format, args, size, NULL)

/* What is refused. */
SEC("syscall")
int stammer(void *ctx) {
  static const char plain[] = "plain\n", two[] = "%d and %s\n", unknown[] = "%q\n", ends[] = "100%\n";
  __u64 args[3] = {};

  printed[0] = PRINT(0, plain, args, 0);
  printed[1] = PRINT(3, unknown, args, 12);
  printed[2] = PRINT(STDOUT, unknown, args, 8);
  printed[3] = PRINT(STDOUT, two, args, 12);
  printed[4] = PRINT(STDOUT, two, args, 8);
  printed[5] = PRINT(STDERR, ends, args, 8);
  return 0;
}

SEC("syscall")
int say(void *ctx) {
  static const char plain[] = "plain\n", three[] = "%d and %s and %llx\n", word[] = "word";
  __u64 args[3];

  args[0] = (__u64)-5;
  args[1] = (__u64)word;
  args[2] = 0x1234567890;
  return PRINT(STDOUT, plain, args, 0) | PRINT(STDERR, three, args, sizeof(args));
}

/* Lines of 1 + 100 n bytes until the stream is full; returns the last errno and how many lines fitted. */
SEC("syscall")
int chatter(const __u32 *longer) {
  static const char shorter_line[] = "%0100d\n", line[] = "%0100d%0100d%0100d%0100d%0100d%0100d%0100d%0100d\n";
  __u64 args[8] = {};
  int i, ret = 0;

  for (i = 0; i < 1200 && ret == 0; i++)
    ret = *longer ? PRINT(STDOUT, line, args, sizeof(args)) : PRINT(STDOUT, shorter_line, args, 8);
  return ret * 10000 - i;
}

LICENSE("GPL");
