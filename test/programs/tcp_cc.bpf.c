// SPDX-License-Identifier: MIT
/*
 * A congestion control for TCP as a struct of callbacks: slow start, then one segment a round trip, and after losses back
 * by a part that can be set. What it remembers of a connection lies in the socket; sockets are read and written by plain
 * loads and stores.
 */
#include "bpf.h"
#include "core.h"

typedef __u8 u8;
typedef __u32 u32;

#define TCP_CA_OPEN 0
#define TCP_CA_LOSS 4
#define MIN_WINDOW 2U

CORE_BEGIN
struct sock;

struct inet_connection_sock {
  __u64 icsk_ca_priv[13];
};

struct tcp_sock {
  u32 snd_cwnd;
  u32 snd_cwnd_cnt;
  u32 snd_cwnd_clamp;
  u32 snd_ssthresh;
  u32 packets_out;
};

struct ack_sample {
  u32 pkts_acked;
  int rtt_us;
};

struct tcp_congestion_ops {
  u32 (*ssthresh)(struct sock *sk);
  void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
  void (*set_state)(struct sock *sk, u8 new_state);
  void (*pkts_acked)(struct sock *sk, const struct ack_sample *sample);
  u32 (*undo_cwnd)(struct sock *sk);
  void (*init)(struct sock *sk);
  char name[16];
};
CORE_END

/* Of one connection, at the socket's place for it. */
struct state {
  u32 window_before;
  u32 least_rtt;
  u32 losses;
  u32 began;
};

/* What a loss leaves of the window, in 1024ths. */
const volatile u32 beta = 717;

__u64 connections, losses, undone;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 16);
  __type(key, u32);
  __type(value, __u64);
} round_trips SEC(".maps");

static __always_inline struct tcp_sock *tcp_of(struct sock *sk) {
  return (struct tcp_sock *)sk;
}

static __always_inline struct state *state_of(struct sock *sk) {
  struct inet_connection_sock *connection = (void *)sk;

  return (struct state *)connection->icsk_ca_priv;
}

SEC("struct_ops")
void begin(__u64 *ctx) {
  struct state *state = state_of((void *)ctx[0]);

  state->window_before = 0;
  state->least_rtt = 0;
  state->losses = 0;
  state->began = 1;
  __sync_fetch_and_add(&connections, 1);
}

SEC("struct_ops")
u32 threshold(__u64 *ctx) {
  struct sock *sk = (void *)ctx[0];
  struct state *state = state_of(sk);
  u32 window = tcp_of(sk)->snd_cwnd, left = (__u64)window * beta >> 10;

  state->window_before = window;
  state->losses++;
  __sync_fetch_and_add(&losses, 1);
  return left > MIN_WINDOW ? left : MIN_WINDOW;
}

SEC("struct_ops")
void grow(__u64 *ctx) {
  struct tcp_sock *tcp = tcp_of((void *)ctx[0]);
  u32 acked = ctx[2], window = tcp->snd_cwnd, clamp = tcp->snd_cwnd_clamp, room;

  if (tcp->packets_out < window / 2)
    return;
  if (window < tcp->snd_ssthresh) {
    room = tcp->snd_ssthresh - window;
    if (room > acked)
      room = acked;
    window += room;
    acked -= room;
  }
  if (acked) {
    u32 count = tcp->snd_cwnd_cnt + acked;

    if (window && count >= window) {
      count -= window;
      window++;
    }
    tcp->snd_cwnd_cnt = count;
  }
  tcp->snd_cwnd = window < clamp ? window : clamp;
}

/* The window was cut for nothing. */
SEC("struct_ops")
u32 undo(__u64 *ctx) {
  struct sock *sk = (void *)ctx[0];
  u32 window = tcp_of(sk)->snd_cwnd, before = state_of(sk)->window_before;

  __sync_fetch_and_add(&undone, 1);
  return before > window ? before : window;
}

SEC("struct_ops")
void changed(__u64 *ctx) {
  struct sock *sk = (void *)ctx[0];
  u8 new_state = ctx[1];

  if (new_state == TCP_CA_LOSS)
    tcp_of(sk)->snd_cwnd_cnt = 0;
}

SEC("struct_ops")
void acked(__u64 *ctx) {
  struct state *state = state_of((void *)ctx[0]);
  const struct ack_sample *sample = (void *)ctx[1];
  int rtt = sample->rtt_us;
  u32 slot = 0, left;
  __u64 *times;

  if (rtt <= 0)
    return;
  if (!state->least_rtt || state->least_rtt > (u32)rtt)
    state->least_rtt = rtt;
  left = rtt / 1000;
  for (int i = 0; i < 15 && left; i++) {
    left >>= 1;
    slot++;
  }
  times = bpf_map_lookup_elem(&round_trips, &slot);
  if (times)
    *times += sample->pkts_acked;
}

SEC("?.struct_ops")
struct tcp_congestion_ops careful = {
    .ssthresh = (void *)threshold,
    .cong_avoid = (void *)grow,
    .set_state = (void *)changed,
    .pkts_acked = (void *)acked,
    .undo_cwnd = (void *)undo,
    .init = (void *)begin,
    .name = "bpf_careful",
};

LICENSE("GPL");
