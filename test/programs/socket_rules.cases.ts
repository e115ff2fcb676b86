import { expect } from "vitest";
import { bpf_sock } from "../../src/uapi/index.ts";
import { type ProgramCase, put } from "./cases.ts";
import { address } from "./packets.ts";

const why = "programs of cgroups around sockets have no PROG_TEST_RUN";
const { fields, size } = bpf_sock;
const [AF_UNIX, AF_INET, AF_INET6] = [1, 2, 10];
const [STREAM, RAW] = [1, 3];
const TCP = 6;
const EADDRINUSE = 98;

type Values = Partial<
  Record<"family" | "type" | "protocol" | "mark" | "priority" | "bound_dev_if" | "src_port", number>
>;

function socket(values: Values, from: readonly number[] = []): { readonly ctx: Uint8Array } {
  const view = new DataView(new ArrayBuffer(size));
  for (const [name, value] of Object.entries({ family: AF_INET, type: STREAM, protocol: TCP, ...values })) {
    view.setUint32(fields[name as keyof Values].offset, value, true);
  }
  const ctx = new Uint8Array(view.buffer);
  ctx.set(from, from.length === 4 ? fields.src_ip4.offset : fields.src_ip6.offset);
  return { ctx };
}

const little = (bytes: readonly number[]): number => bytes.reduceRight((value, byte) => value * 256 + byte, 0);
const ipv6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
const words = (bytes: readonly number[]): number[] => [0, 4, 8, 12].map((i) => little(bytes.slice(i, i + 4)));
const mapped = [0, 0, little([0, 0, 255, 255]), little(address("192.0.2.1"))];
const plain = { kernel: "load", why } as const;

export const cases: readonly ProgramCase[] = [
  {
    ...plain,
    name: "new sockets get a device, a mark and a priority",
    program: "create",
    before: (scene) => {
      put(scene, "rules", AF_INET, { device: 7, mark: 0x10, priority: 6 });
      put(scene, "rules", AF_INET6, { device: 0, mark: 0x20, priority: 5 });
    },
    runs: [
      socket({ mark: 1, bound_dev_if: 3 }),
      socket({ family: AF_INET6, mark: 1, bound_dev_if: 3 }),
      socket({ family: AF_UNIX, mark: 1, bound_dev_if: 3 }),
    ],
    expect: {
      retval: 1,
      globals: { open_sockets: 3n },
      after: (_scene, results) => {
        const ends = [
          { mark: 0x11, priority: 6, bound_dev_if: 7 },
          { family: AF_INET6, mark: 0x21, priority: 5, bound_dev_if: 3 },
          { family: AF_UNIX, mark: 1, bound_dev_if: 3 },
        ];
        expect(results.map(({ ctx }) => ctx)).toEqual(ends.map((end) => socket(end).ctx));
      },
    },
  },
  {
    ...plain,
    name: "raw ones are not made",
    program: "create",
    runs: [socket({ type: RAW })],
    expect: { retval: 0, globals: { open_sockets: 0n, refused: 1n } },
  },
  {
    ...plain,
    name: "a port that is bound, and one that nobody may bind",
    program: "bound4",
    before: (scene) => put(scene, "open_ports", 443, 1),
    runs: [8080, 443, 8080, 80].map((port) => socket({ src_port: port }, address("192.0.2.1"))),
    expect: {
      retval: [1, 1, 1, 0],
      globals: { refused: 1n },
      maps: {
        bound: [
          [{ address: mapped, port: 8080, protocol: TCP }, 2n],
          [{ address: mapped, port: 443, protocol: TCP }, 1n],
        ],
      },
      after: (_scene, results) => expect(results.at(-1)!.syscallRetval).toBe(-EADDRINUSE),
    },
  },
  {
    ...plain,
    name: "of an IPv6 address",
    program: "bound6",
    runs: [socket({ family: AF_INET6, src_port: 1024 }, ipv6)],
    expect: { retval: 1, maps: { bound: [[{ address: words(ipv6), port: 1024, protocol: TCP }, 1n]] } },
  },
  {
    ...plain,
    name: "sockets go",
    program: "release",
    runs: [socket({}), socket({ family: AF_INET6 }), socket({ family: AF_UNIX })],
    expect: { retval: 1, globals: { open_sockets: -2n } },
  },
];
