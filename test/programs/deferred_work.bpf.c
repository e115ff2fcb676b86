/* SPDX-License-Identifier: MIT */
/*
 * Work that is put off: packets are summed up into jobs, one for each length; when a job has four packets a workqueue
 * item closes it, some time after the program has returned. A job that is removed before takes its item along.
 */
#include "bpf.h"
#include "kfuncs.h"

struct job {
  __u64 packets;
  struct bpf_wq item;
  __u64 closed;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, struct job);
} jobs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, __u64);
} finished SEC(".maps");

__s32 results[12];

static int close_job(void *map, int *key, void *value) {
  struct job *job = value;
  __u32 length = *key;
  __u64 packets = job->packets;
  job->closed++;
  bpf_map_update_elem(&finished, &length, &packets, BPF_ANY);
  return 0;
}

static __always_inline struct job *job_of(__u32 length) {
  struct job new = {};
  struct job *job = bpf_map_lookup_elem(&jobs, &length);
  if (job) return job;
  bpf_map_update_elem(&jobs, &length, &new, BPF_NOEXIST);
  job = bpf_map_lookup_elem(&jobs, &length);
  if (!job || bpf_wq_init(&job->item, &jobs, 0)) return NULL;
  bpf_wq_set_callback_impl(&job->item, close_job, 0, NULL);
  return job;
}

SEC("xdp")
int collect(struct xdp_md *ctx) {
  __u32 length = ctx->data_end - ctx->data;
  struct job *job = job_of(length);
  if (!job) return XDP_DROP;
  if (++job->packets == 4) bpf_wq_start(&job->item, 0);
  /* Too long: nothing comes of it. */
  if (job->packets == 4 && length > 1000) bpf_map_delete_elem(&jobs, &length);
  return XDP_PASS;
}

SEC("xdp")
int misuse(struct xdp_md *ctx) {
  __u32 length = 1;
  struct job new = {};
  bpf_map_update_elem(&jobs, &length, &new, BPF_ANY);
  struct job *job = bpf_map_lookup_elem(&jobs, &length);
  if (!job) return XDP_DROP;
  results[0] = bpf_wq_start(&job->item, 0);
  results[1] = bpf_wq_set_callback_impl(&job->item, close_job, 0, NULL);
  results[2] = bpf_wq_init(&job->item, &jobs, 1);
  results[3] = bpf_wq_init(&job->item, &jobs, 0);
  results[4] = bpf_wq_init(&job->item, &jobs, 0);
  results[5] = bpf_wq_start(&job->item, 0);
  results[6] = bpf_wq_set_callback_impl(&job->item, close_job, 1, NULL);
  results[7] = bpf_wq_set_callback_impl(&job->item, close_job, 0, NULL);
  results[8] = bpf_wq_start(&job->item, 1);
  results[9] = bpf_wq_start(&job->item, 0);
  results[10] = bpf_wq_start(&job->item, 0);
  return XDP_PASS;
}

LICENSE("GPL");
