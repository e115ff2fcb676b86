// SPDX-License-Identifier: MIT
/*
 * Keeps the requests of a network block device within a window of the server's disk: at a tracepoint whose first argument
 * is a buffer that programs may change. Numbers are in network byte order.
 */
#include "bpf.h"

/* What goes over the wire: the head of a request. */
struct nbd_request {
  __be32 magic;
  __be32 type;
  __u64 cookie;
  __be64 from;
  __be32 len;
} __attribute__((packed));

#define NBD_REQUEST_MAGIC 0x25609513
#define NBD_CMD_READ 0
#define NBD_CMD_WRITE 1
#define NBD_CMD_DISC 2

const volatile __u64 window_start = 1 << 20;
const volatile __u64 window_size = 1 << 16;

__u64 moved, cut, refused, strange;

#define be64(value) __builtin_bswap64(value)

SEC("raw_tp.w/nbd_send_request")
int on_request(struct bpf_raw_tracepoint_args *ctx) {
  struct nbd_request *request = (void *)ctx->args[0];
  __u64 from = be64(request->from);
  __u32 length = bpf_ntohl(request->len), type = bpf_ntohl(request->type);

  if (bpf_ntohl(request->magic) != NBD_REQUEST_MAGIC) {
    strange++;
    return 0;
  }
  if (type != NBD_CMD_READ && type != NBD_CMD_WRITE)
    return 0;
  if (from >= window_size) {
    /* Ends the connection, in place of touching what is not ours. */
    request->type = bpf_htonl(NBD_CMD_DISC);
    request->from = 0;
    request->len = 0;
    refused++;
    return 0;
  }
  if (length > window_size - from) {
    request->len = bpf_htonl(window_size - from);
    cut++;
  }
  request->from = be64(from + window_start);
  moved++;
  return 0;
}

LICENSE("GPL");
