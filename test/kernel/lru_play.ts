/** Random calls on an LRU map, the same ones for every side that plays the same script. */
import * as u from "../../src/uapi/index.ts";
import { pinThread } from "../kernel.ts";
import { randomOf } from "../random.ts";
import { EmbeddedSide, type MapShape, type Side } from "./sides.ts";

export interface Script {
  readonly shape: MapShape;
  /** Bytes of a value in bpf(2): those of every CPU. */
  readonly valueBytes: number;
  /** The CPUs that the calls come from: 61 calls from each, then from the next. */
  readonly cpus: readonly number[];
  readonly calls: number;
  readonly seed: number;
  /** Calls after which all keys are listed. */
  readonly every: number;
}

function call(side: Side, fd: number, op: number, key: Uint8Array, value: Uint8Array): number | string {
  if (op < 40) return side.update(fd, key, value, u.BPF_ANY);
  if (op < 46) return side.update(fd, key, value, u.BPF_NOEXIST);
  if (op < 52) return side.update(fd, key, value, u.BPF_EXIST);
  if (op < 58) return side.delete(fd, key);
  if (op < 61) return side.take(fd, key, value.length);
  if (op < 70) return side.lookup(fd, key, value.length);
  if (op < 71) return side.update(fd, key, value, 3);
  return side.programLookup(fd, key);
}

/** What each call gave, with all keys of the map now and then. Side by side with another, each call pins the thread. */
export function* play(side: Side, script: Script): Generator<string> {
  const { shape, cpus, calls, every } = script;
  const fd = side.createMap(shape);
  if (fd < 0) throw new Error(`MAP_CREATE gave ${fd}`);
  const random = randomOf(script.seed);
  const keys = Math.max(4, Math.floor(shape.max * 1.5));
  const key = new Uint8Array(shape.key);
  const value = new Uint8Array(script.valueBytes);
  let fresh = 0;
  for (let i = 0; i < calls; i++) {
    if (i % 61 === 0) {
      const cpu = cpus[(i / 61) % cpus.length]!;
      if (side instanceof EmbeddedSide) side.kernel.cpu = cpu;
      else pinThread(cpu);
    }
    // Stretches of new keys, of hot keys and of mixed calls bring different parts of the lists to work.
    const phase = Math.floor(i / 700) & 3;
    const n = phase === 1 ? fresh++ % (keys * 8) : random(phase === 2 ? Math.max(1, keys >> 2) : keys);
    const op = phase === 1 ? 0 : random(100);
    new DataView(key.buffer).setUint32(0, n, true);
    new DataView(value.buffer).setUint32(0, i, true);
    const answer = `op ${op}, key ${n}: ${call(side, fd, op, key, value)}`;
    yield i % every === 0 ? `${answer}; ${side.keys(fd, shape.key).join(" ")}` : answer;
  }
  const ret = side.close(fd);
  if (ret !== 0) throw new Error(`close gave ${ret}`);
}
