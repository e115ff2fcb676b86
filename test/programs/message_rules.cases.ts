import { expect } from "vitest";
import { bpf_sock_ops } from "../../src/uapi/index.ts";
import type { ProgramCase } from "./cases.ts";

const why = "sock_ops and sk_msg programs have no PROG_TEST_RUN";
const { fields, size } = bpf_sock_ops;
const SK_DROP = 0;
const SK_PASS = 1;
const TIMEOUT_INIT = 1;
const ACTIVE_ESTABLISHED = 4;
const STATE = 10;
const ESTABLISHED = 1;
const CLOSE_WAIT = 8;
const CLOSE = 7;

type Values = Partial<Record<keyof typeof fields, number>>;

function ops(values: Values, args: readonly number[] = []): Uint8Array {
  const ctx = new DataView(new ArrayBuffer(size));
  for (const [name, value] of Object.entries(values))
    ctx.setUint32(fields[name as keyof typeof fields].offset, value, true);
  args.forEach((arg, i) => {
    ctx.setUint32(fields.args.offset + i * 4, arg, true);
  });
  return new Uint8Array(ctx.buffer);
}

const word = (ctx: Uint8Array | undefined, { offset }: { readonly offset: number }): number =>
  new DataView(ctx!.buffer).getInt32(offset, true);
const begun = ops({ op: ACTIVE_ESTABLISHED, is_fullsock: 1, local_port: 40000 });
const became = (state: number): { ctx: Uint8Array } => ({
  ctx: ops({ op: STATE, is_fullsock: 1, local_port: 40000 }, [ESTABLISHED, state]),
});

/** Length, kind, text. */
function frame(kind: string, text: string, length: number = text.length + 5): Uint8Array {
  const bytes = new Uint8Array(text.length + 5);
  new DataView(bytes.buffer).setUint32(0, length);
  bytes.set(new TextEncoder().encode(kind + text), 4);
  return bytes;
}

/** sk_msg_md: the message's size is the caller's to say. */
function message(data: Uint8Array): { data: Uint8Array; ctx: Uint8Array } {
  const ctx = new Uint8Array(80);
  new DataView(ctx.buffer).setUint32(68, data.length, true);
  return { data, ctx };
}

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes!.subarray(4));

export const cases: readonly ProgramCase[] = [
  {
    name: "answers to what the kernel asks",
    program: "watch",
    kernel: "load",
    why,
    runs: [1, 2].map((remote_ip4) => ({ ctx: ops({ op: TIMEOUT_INIT, local_ip4: 1, remote_ip4 }) })),
    expect: {
      retval: 1,
      after: (_scene, results) => expect(results.map(({ ctx }) => word(ctx, fields.reply))).toEqual([10, -1]),
    },
  },
  {
    name: "states of a connection",
    program: "watch",
    kernel: "load",
    why,
    runs: [{ ctx: begun }, became(CLOSE_WAIT)],
    expect: {
      retval: 1,
      maps: { states: [[40000, CLOSE_WAIT]] },
      after: (_scene, [first]) => expect(word(first!.ctx, fields.bpf_sock_ops_cb_flags)).toBe(4),
    },
  },
  {
    name: "the end of a connection; a socket that is not whole cannot be watched",
    program: "watch",
    kernel: "load",
    why,
    runs: [{ ctx: begun }, became(CLOSE), { ctx: ops({ op: ACTIVE_ESTABLISHED, local_port: 1 }) }],
    expect: { retval: [1, 1, 0], maps: { states: [] } },
  },
  {
    name: "verdicts are for whole frames",
    program: "verdict",
    kernel: "load",
    why,
    runs: [
      message(frame("a", "hello")),
      message(frame("a", "hello", 100)),
      message(new Uint8Array(4)),
      message(frame("x", "bye")),
    ],
    expect: {
      retval: [SK_PASS, SK_PASS, SK_PASS, SK_DROP],
      globals: { frames: 1n },
      after: (_scene, results) =>
        expect(results.map(({ events }) => events)).toEqual([
          [{ kind: "msg_apply_bytes", bytes: 10 }],
          [{ kind: "msg_cork_bytes", bytes: 100 }],
          [{ kind: "msg_cork_bytes", bytes: 8 }],
          [],
        ]),
    },
  },
  {
    name: "bytes are put into old clients' frames and taken out of new ones'",
    program: "verdict",
    kernel: "load",
    why,
    runs: [message(frame("o", "text")), message(frame("n", "textSUM!"))],
    expect: {
      retval: SK_PASS,
      after: (_scene, results) => {
        expect(results.map(({ data }) => text(data))).toEqual(["oV1text", "ntext"]);
        expect(results.map(({ ctx }) => word(ctx, { offset: 68 }))).toEqual([11, 9]);
      },
    },
  },
];
