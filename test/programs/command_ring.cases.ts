import { type CaseScene, frame, type ProgramCase } from "./cases.ts";

const XDP_PASS = 2;
const [OP_SET, OP_ADD, OP_TEXT, OP_STOP] = [0, 1, 2, 3];
const EINVAL = -22n;
const EBUSY = -16n;

const COMMAND_SIZE = 16;
type Sent = readonly [op: number, reg: number, operand: bigint] | Uint8Array;

/** Sends these; a text is a command with bytes behind it. */
function send(...commands: readonly Sent[]): (scene: CaseScene) => void {
  return ({ object }) => {
    const ring = object.map("commands");
    if (ring.type !== "user_ringbuf") throw new Error(`commands is a ${ring.type}`);
    for (const sent of commands) {
      const bytes = sent instanceof Uint8Array ? sent : new Uint8Array(COMMAND_SIZE);
      if (!(sent instanceof Uint8Array)) {
        const [op, reg, operand] = sent;
        const view = new DataView(bytes.buffer);
        view.setUint32(0, op, true);
        view.setUint32(4, reg, true);
        view.setBigInt64(8, operand, true);
      }
      if (!ring.output(bytes)) throw new Error("the ring is full");
    }
  };
}

function text(bytes: number): Uint8Array {
  const record = new Uint8Array(COMMAND_SIZE + bytes).fill(0x2e);
  record.set([OP_TEXT, 0, 0, 0], 0);
  return record;
}

const progress = (executed: number, stopped: number): Uint8Array => Uint8Array.of(executed, 0, 0, 0, stopped, 0, 0, 0);

export const cases: readonly ProgramCase[] = [
  {
    name: "commands are carried out in their order",
    program: "work",
    kernel: "run",
    before: send([OP_SET, 1, 5n], [OP_ADD, 1, -7n], [OP_SET, 3, 1n << 40n], [OP_ADD, 9, 1n], text(0), text(99)),
    runs: [{ data: frame(64) }, { data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      maps: { done: [progress(6, 0), progress(0, 0)] },
      globals: { registers: [0n, -2n, 0n, 1n << 40n], malformed: 1, texts: 2, text_bytes: 99n, drained: 0n },
    },
  },
  {
    name: "a command that stops the drain is done with, those behind it wait",
    program: "work",
    kernel: "run",
    before: send([OP_SET, 0, 1n], [OP_STOP, 0, 0n], [OP_SET, 0, 2n], [OP_STOP, 0, 0n], [OP_SET, 0, 3n]),
    runs: [{ data: frame(64) }, { data: frame(64) }, { data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      maps: { done: [progress(1, 1), progress(1, 1), progress(1, 0)] },
      globals: { registers: [3n, 0n, 0n, 0n], drained: 1n },
    },
  },
  {
    name: "records too short for a command, and empty ones",
    program: "work",
    kernel: "run",
    before: send(new Uint8Array(3), new Uint8Array(0), [OP_SET, 2, 8n]),
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      maps: { done: [progress(1, 0)] },
      globals: { registers: [0n, 0n, 8n, 0n], malformed: 2, drained: 3n },
    },
  },
  {
    name: "records around the end of the ring",
    program: "work",
    kernel: "run",
    before: send(text(4056)),
    runs: [{ data: frame(64) }, { data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      globals: { texts: 2, text_bytes: 4256n, registers: [12n, 0n, 0n, 0n], drained: 3n },
      after: (scene) => {
        // 4080 bytes are behind us: the next header is the last but one word, its record goes on at the beginning.
        send([OP_SET, 0, 11n], text(200), [OP_ADD, 0, 1n])(scene);
        scene.object.program("work").run({ data: frame(64) });
      },
    },
  },
  {
    name: "flags that it does not know",
    program: "work",
    kernel: "run",
    load: { globals: { drain_flags: 4n } },
    before: send([OP_SET, 0, 1n]),
    runs: [{ data: frame(64) }],
    expect: { retval: XDP_PASS, globals: { drained: EINVAL, registers: [0n, 0n, 0n, 0n] } },
  },
  {
    name: "no drain inside a drain",
    program: "nested",
    kernel: "run",
    before: send([OP_SET, 0, 1n], [OP_SET, 0, 2n]),
    runs: [{ data: frame(64) }],
    expect: { retval: 2, globals: { drained: EBUSY } },
  },
];
