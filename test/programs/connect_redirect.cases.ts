import { expect } from "vitest";
import { bpf_sock, bpf_sock_addr } from "../../src/uapi/index.ts";
import type { CaseScene, ProgramCase } from "./cases.ts";

const why = "cgroup_sock_addr programs have no PROG_TEST_RUN";
const { fields, size } = bpf_sock_addr;
const TCP = 6;
const UDP = 17;
const htons = (port: number): number => ((port & 0xff) << 8) | (port >> 8);
const ip = (...bytes: readonly number[]): number => bytes.reduceRight((sum, byte) => ((sum << 8) | byte) >>> 0, 0);

/** What a system call gives: address, port, protocol; of sendmsg the source. */
function address(to: number, port: number, protocol: number, source = 0): Uint8Array {
  const ctx = new DataView(new ArrayBuffer(size));
  const set = ({ offset }: { readonly offset: number }, value: number): void => ctx.setUint32(offset, value, true);
  set(fields.user_family, 2);
  set(fields.family, 2);
  set(fields.user_ip4, to);
  set(fields.user_port, htons(port));
  set(fields.protocol, protocol);
  set(fields.msg_src_ip4, source);
  return new Uint8Array(ctx.buffer);
}

const service = ip(10, 0, 0, 1);
const backend = ip(192, 168, 255, 254);

function backends({ object }: CaseScene): void {
  const map = object.map("backends") as unknown as { set(key: unknown, value: unknown): void };
  for (const protocol of [TCP, UDP]) {
    map.set({ ip: service, port: htons(80), protocol }, { ip: backend, port: htons(8080), protocol });
  }
}

/** Pointers in a context are the host's own. */
function withoutSock(ctx: Uint8Array | undefined): Uint8Array | undefined {
  return ctx?.slice(0, fields.sk.offset);
}

const task = { cgroups: [1n, 77n] };

export const cases: readonly ProgramCase[] = [
  {
    name: "connect goes to the backend, and is counted for the cgroup",
    program: "connect4",
    kernel: "load",
    why,
    before: backends,
    runs: [
      { ctx: address(service, 80, TCP), task },
      { ctx: address(service, 80, TCP), task },
    ],
    expect: {
      retval: 1,
      maps: { redirected: [[77n, 2n]] },
      after: (_scene, results) =>
        expect(withoutSock(results[1]!.ctx)).toEqual(withoutSock(address(backend, 8080, TCP))),
    },
  },
  {
    name: "what is no service stays as it is",
    program: "connect4",
    kernel: "load",
    why,
    before: backends,
    runs: [{ ctx: address(service, 81, TCP), task }],
    expect: {
      retval: 1,
      maps: { redirected: [] },
      after: (_scene, [result]) => expect(withoutSock(result!.ctx)).toEqual(withoutSock(address(service, 81, TCP))),
    },
  },
  {
    name: "port 25 is refused, with an errno of the program's",
    program: "connect4",
    kernel: "load",
    why,
    runs: [{ ctx: address(service, 25, TCP), attachment: { retval: -1 } }],
    expect: { retval: 0, after: (_scene, [result]) => expect(result!.syscallRetval).toBe(-13) },
  },
  {
    name: "sendmsg: the source changes too",
    program: "sendmsg4",
    kernel: "load",
    why,
    before: backends,
    runs: [{ ctx: address(service, 80, UDP, ip(10, 9, 9, 9)), task }],
    expect: {
      retval: 1,
      after: (_scene, [result]) =>
        expect(withoutSock(result!.ctx)).toEqual(withoutSock(address(backend, 8080, UDP, ip(127, 0, 0, 1)))),
    },
  },
  {
    name: "the socket behind the context is read",
    program: "peername4",
    kernel: "load",
    why,
    runs: [7, 8].map((mark) => {
      const sock = new Uint8Array(bpf_sock.size);
      sock[bpf_sock.fields.mark.offset] = mark;
      return { ctx: address(backend, 8080, TCP), sock };
    }),
    expect: {
      retval: 1,
      after: (_scene, results) =>
        expect(results.map(({ ctx }) => new DataView(ctx!.buffer).getUint32(fields.user_port.offset, true))).toEqual([
          htons(80),
          htons(8080),
        ]),
    },
  },
];
