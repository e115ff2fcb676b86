/** Packets of programs that see an skb: what `prepareSkb` and the command make of a frame. See `packet_code.ts`. */
import type { SkbFamily } from "../contexts/skb.ts";
import { SKB_DATA, SKB_END, SKB_HEAD, SKB_SOCK, SKB_TAIL } from "../helpers/skb_buffer.ts";
import {
  ETH_HLEN,
  ETH_P_802_2,
  ETH_P_802_3,
  ETH_P_802_3_MIN,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_PROTO,
  IPV4_HEADER,
  IPV6_HEADER,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  swap16,
} from "../helpers/skb_headers.ts";
import { HELD_SIZE, RUN_CTX, RUN_DATA, RUN_DATA_END, RUN_FRAGS_ROOM, RUN_HELD, RUN_META } from "../kern/run_record.ts";
import type { Memory } from "../mem/memory.ts";
import { __sk_buff, AF_INET, AF_INET6, bpf_sock } from "../uapi/index.ts";
import type { Code } from "../wasm/code.ts";
import { const32, type Exit, type Expr32, type Local32, local32, select, when } from "../wasm/expr.ts";
import { emitPutBack, type PacketCode, type PacketKind, type Region } from "./packet_code.ts";

const { fields } = __sk_buff;
const { fields: sock } = bpf_sock;
/** As they stand in a frame, read as a little endian u16. */
const IPV4 = swap16(ETH_P_IP);
const IPV6 = swap16(ETH_P_IPV6);
/** In an IP header, the addresses of sender and receiver. */
const ipv4 = { from: 12, to: 16, size: 4 };
const ipv6 = { from: 8, to: 24, size: 16 };
const WORD = 4;

export function skbCode(family: SkbFamily): PacketKind {
  return ({ mem }, run, code) => new SkbCode(family, mem, run, code);
}

class SkbCode implements PacketCode {
  readonly place: number;
  readonly once: readonly Region[];
  readonly #mem: Memory;
  readonly #family: SkbFamily;
  readonly #code: Code;
  readonly #record: Expr32;
  readonly #ctx: Expr32;
  readonly #frame: Expr32;
  /** The context, with all that is known of the skb. */
  readonly #whole: Region;

  constructor(family: SkbFamily, mem: Memory, run: number, code: Code) {
    const { u32 } = mem;
    const ctx = u32[(run + RUN_CTX) >>> 2]!;
    this.#mem = mem;
    this.#family = family;
    this.#code = code;
    this.#record = const32(code, run);
    this.#ctx = const32(code, ctx);
    this.place = u32[(ctx + SKB_DATA) >>> 2]! - (family.link ? 0 : ETH_HLEN);
    this.#frame = const32(code, this.place);
    // The socket is held as long as the run.
    this.once = [[u32[(run + RUN_HELD) >>> 2]!, HELD_SIZE]];
    this.#whole = [ctx, SKB_SOCK + bpf_sock.size];
  }

  renew(): void {
    emitPutBack(this.#mem, this.#code, this.#whole);
  }

  refuse(from: Local32, length: Local32, refused: Exit): void {
    const type = local32(this.#code, from.load16(ETH_PROTO));
    for (const [protocol, header] of [
      [IPV4, IPV4_HEADER],
      [IPV6, IPV6_HEADER],
    ] as const) {
      refused.when(type.eq(protocol).and(length.ltU(ETH_HLEN + header)));
    }
  }

  open(length: Local32): void {
    const { link, direct } = this.#family;
    const ctx = this.#ctx;
    const end = local32(this.#code, length.add(this.place));
    for (const field of [SKB_TAIL, SKB_END]) ctx.store(field, end);
    ctx.store(fields.len.offset, link ? length : length.sub(ETH_HLEN));
    if (direct !== "none") {
      const data = this.place + (link ? 0 : ETH_HLEN);
      ctx.store(fields.data_end.offset, end);
      for (const field of [RUN_META, RUN_DATA]) this.#record.store(field, data);
      this.#record.store(RUN_DATA_END, end);
    }
    this.#receive(length);
  }

  /** `receive` and `makeSocket` of a frame, in a context that has them of one of zeros. */
  #receive(length: Local32): void {
    const frame = this.#frame;
    when(frame.load().or(frame.load16(4)), () => {
      const type = select(frame.load8().and(1), PACKET_MULTICAST, PACKET_OTHERHOST);
      this.#ctx.store(fields.pkt_type.offset, type);
    });
    const type = local32(this.#code, frame.load16(ETH_PROTO));
    const host = type.and(0xff).shl(8).or(type.shrU(8));
    when(host.ltU(ETH_P_802_3_MIN), () => {
      const novell = length.geU(ETH_HLEN + 2).and(frame.load16(ETH_HLEN).eq(0xffff));
      type.set(select(novell, swap16(ETH_P_802_3), swap16(ETH_P_802_2)));
    });
    this.#ctx.store(fields.protocol.offset, type);
    when(
      type.eq(IPV4),
      () => {
        this.#addresses(AF_INET, ipv4, [sock.src_ip4, fields.local_ip4], [sock.dst_ip4, fields.remote_ip4]);
      },
      () => {
        when(type.eq(IPV6), () => {
          this.#addresses(AF_INET6, ipv6, [sock.src_ip6, fields.local_ip6], [sock.dst_ip6, fields.remote_ip6]);
        });
      },
    );
  }

  #addresses(
    family: number,
    header: typeof ipv4,
    ...ends: readonly (readonly [inSock: { readonly offset: number }, inContext: { readonly offset: number }])[]
  ): void {
    const ctx = this.#ctx;
    for (const field of [SKB_SOCK + sock.family.offset, fields.family.offset]) ctx.store(field, family);
    for (const [i, [inSock, inContext]] of ends.entries()) {
      const from = ETH_HLEN + (i === 0 ? header.from : header.to);
      for (let at = 0; at < header.size; at += WORD) {
        const word = local32(this.#code, this.#frame.load(from + at));
        ctx.store(SKB_SOCK + inSock.offset + at, word);
        ctx.store(inContext.offset + at, word);
      }
    }
  }

  close(leave: () => void): void {
    const ctx = this.#ctx;
    const room = ctx.load(SKB_DATA).sub(ctx.load(SKB_HEAD));
    const larger = this.#record.load(RUN_FRAGS_ROOM);
    when(this.#family.link ? larger : larger.or(room.ltU(ETH_HLEN)), leave);
  }

  after(): { readonly from: Local32; readonly length: Local32 } {
    const ctx = this.#ctx;
    const from = local32(this.#code, ctx.load(SKB_DATA));
    if (!this.#family.link) {
      from.set(from.sub(ETH_HLEN));
      from.store64(0, 0);
      from.store(8, 0);
      from.store16(12, 0);
    }
    return { from, length: local32(this.#code, ctx.load(SKB_END).sub(from)) };
  }
}
