/**
 * This host's own runs of programs that see an skb. As in a test run the packet is an Ethernet frame; of socket programs
 * (sk_skb), which the kernel has no test run for, it is a piece of a stream, and nothing stands in front of it.
 */
import { addLinkHeader, prepareSkb, replaceSocket, type SkbFamily } from "../contexts/skb.ts";
import { SKB_DATA, SKB_LINEAR_MAX, skbLength, skbWord } from "../helpers/skb_buffer.ts";
import { ETH_HLEN, ETH_P_IP, ETH_P_IPV6, ETH_PROTO } from "../helpers/skb_headers.ts";
import { placeBytes } from "../kern/given.ts";
import type { Kernel } from "../kern/kernel.ts";
import { __sk_buff, AF_INET, AF_INET6, bpf_sock, E2BIG, EINVAL, ENOMEM } from "../uapi/index.ts";
import { contextBad, deviceBad, fieldsOf, giveFieldsBack, headerBad } from "./prog_test_skb.ts";
import type { ProgRun, Setup } from "./run_prog.ts";

const SOCK_STREAM = 1;
const IPPROTO_TCP = 6;
const TCP_ESTABLISHED = 1;
const NO_QUEUE = 0xffff_ffff;

const connected = connectedSocket();

/** What there is to set up, or an errno for what does not go with the family. */
export function skbSetup(kernel: Kernel, family: SkbFamily, wanted: ProgRun): Setup | number {
  const { data, ctx, args, sock } = wanted;
  if (data === undefined || args !== undefined) return -EINVAL;
  const frame = family.stream ? streamFrame(data, sock) : data;
  if (frame.length < ETH_HLEN || frame.length > SKB_LINEAR_MAX) return -EINVAL;
  if (ctx !== undefined && ctx.length > __sk_buff.size) return -E2BIG;
  const context = ctx === undefined ? undefined : new DataView(new ArrayBuffer(__sk_buff.size));
  if (context !== undefined) new Uint8Array(context.buffer).set(ctx!);
  const length = family.link ? frame.length : frame.length - ETH_HLEN;
  const bad = deviceBad(kernel, context) || contextBad(context, length);
  if (bad !== 0) return bad;
  return {
    prepare: (run) => {
      const from = placeBytes(kernel, run, frame);
      if (from === 0) return -ENOMEM;
      const header = family.stream ? 0 : headerBad(kernel.mem, from, frame.length);
      if (header !== 0) return header;
      const given = { values: fieldsOf(context, length), summed: false };
      if (!prepareSkb(kernel, family, from, frame.length, given)) return -ENOMEM;
      if (sock !== undefined || family.stream) replaceSocket(kernel, sock ?? connected);
      return 0;
    },
    finish: () => {
      if (!family.link && !family.stream && !addLinkHeader(kernel)) return -ENOMEM;
      giveFieldsBack(kernel, context);
      if (context !== undefined) ctx!.set(new Uint8Array(context.buffer).subarray(0, ctx!.length));
      const at = skbWord(kernel, SKB_DATA);
      return kernel.copies.of(kernel.mem.u8.subarray(at, at + skbLength(kernel)));
    },
  };
}

/** Of a stream: TCP over IPv4, nothing known of its ends. */
function connectedSocket(): Uint8Array {
  const view = new DataView(new ArrayBuffer(bpf_sock.size));
  const { family, type, protocol, state, rx_queue_mapping } = bpf_sock.fields;
  view.setUint32(family.offset, AF_INET, true);
  view.setUint32(type.offset, SOCK_STREAM, true);
  view.setUint32(protocol.offset, IPPROTO_TCP, true);
  view.setUint32(state.offset, TCP_ESTABLISHED, true);
  view.setUint32(rx_queue_mapping.offset, NO_QUEUE, true);
  return new Uint8Array(view.buffer);
}

/** Behind a header that says which family the stream's socket is of. */
function streamFrame(data: Uint8Array, sock: Uint8Array | undefined): Uint8Array {
  const frame = new Uint8Array(ETH_HLEN + data.length);
  const six = sock !== undefined && sock[bpf_sock.fields.family.offset] === AF_INET6;
  new DataView(frame.buffer).setUint16(ETH_PROTO, six ? ETH_P_IPV6 : ETH_P_IP);
  frame.set(data, ETH_HLEN);
  return frame;
}
