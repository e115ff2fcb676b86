/**
 * Programs that no verifier would let pass: what the prover says of them is held against the interpreter, instruction by
 * instruction, and compiled they end as they do interpreted. BPFMAPS_SOUP: how many, BPFMAPS_RANDOM_SEED: which.
 */
import { expect, test } from "vitest";
import { EmbeddedHost } from "../../src/host/embedded.ts";
import { createKernel } from "../../src/kern/create.ts";
import * as u from "../../src/uapi/index.ts";
import { loadProgram, readStderr, testRun } from "../conformance/programs.ts";
import { randomOf } from "../random.ts";
import { SEED } from "../seed.ts";
import { checkRuns } from "./prove_check.ts";
import { EDGES, SMALL_SIZE, type SoupMaps, soup, VALUE_SIZE } from "./soup.ts";

const PROGRAMS = Number(process.env.BPFMAPS_SOUP ?? 20);
const FIRST = Number(process.env.BPFMAPS_SOUP_FIRST ?? 0);
const RUNS = 3;
const BUDGET = 1500;

type Rnd = (n: number) => number;

class Place {
  readonly host: EmbeddedHost;
  readonly maps: SoupMaps;

  constructor(host: EmbeddedHost) {
    this.host = host;
    const make = (map_type: number, value_size: number, max_entries: number, flags = 0): number => {
      const key_size = map_type === u.BPF_MAP_TYPE_RINGBUF ? 0 : 4;
      return host.bpf(u.BPF_MAP_CREATE, { map_type, key_size, value_size, max_entries, map_flags: flags });
    };
    this.maps = {
      globals: make(u.BPF_MAP_TYPE_ARRAY, VALUE_SIZE, 1),
      hash: make(u.BPF_MAP_TYPE_HASH, SMALL_SIZE, 4),
      array: make(u.BPF_MAP_TYPE_ARRAY, SMALL_SIZE, 3),
      ring: make(u.BPF_MAP_TYPE_RINGBUF, 0, 4096),
    };
  }

  /** The same numbers again, and an empty ring. */
  reset(rnd: Rnd): void {
    const words = Array.from({ length: VALUE_SIZE / 8 }, () =>
      rnd(2) === 0 ? EDGES[rnd(EDGES.length)]! : BigInt(rnd(64)),
    );
    this.put(this.maps.globals, 0, new Uint8Array(new BigInt64Array(words).buffer));
    for (let key = 0; key < 3; key++) {
      this.put(this.maps.array, key, new Uint8Array(SMALL_SIZE));
      this.put(this.maps.hash, key, new Uint8Array(SMALL_SIZE));
    }
  }

  put(map_fd: number, key: number, value: Uint8Array): void {
    this.host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key: new Uint8Array(Uint32Array.of(key).buffer), value, flags: 0 });
  }

  get(map_fd: number, key: number, size: number): string {
    const value = new Uint8Array(size);
    const ret = this.host.bpf(u.BPF_MAP_LOOKUP_ELEM, {
      map_fd,
      key: new Uint8Array(Uint32Array.of(key).buffer),
      value,
    });
    return ret === 0 ? Buffer.from(value).toString("hex") : `${ret}`;
  }

  /** How a run on any packet ends. */
  run(fd: number, rnd: Rnd): { readonly ret: number } & Readonly<Record<string, unknown>> {
    this.reset(rnd);
    const packet = Uint8Array.from({ length: 14 + rnd(60) }, () => rnd(256));
    const { data, ...ran } = testRun(this.host, fd, packet);
    return { ...ran, data: Buffer.from(data).toString("hex"), values: this.values(), fault: readStderr(this.host, fd) };
  }

  values(): string[] {
    const { globals, hash, array } = this.maps;
    const small = [0, 1, 2, 3].flatMap((key) => [this.get(array, key, SMALL_SIZE), this.get(hash, key, SMALL_SIZE)]);
    return [this.get(globals, 0, VALUE_SIZE), ...small];
  }
}

function placeOf(engine: "jit" | "interp", shared: boolean): Place {
  const kernel = createKernel({
    memory: 16 << 20,
    cpus: 2,
    shared,
    seed: 1,
    virtualClock: true,
    runBudget: BUDGET,
  });
  kernel.engine = engine;
  if (engine === "interp") checkRuns(kernel);
  return new Place(new EmbeddedHost(kernel));
}

const newPlaces = (shared: boolean): [Place, Place] => [placeOf("jit", shared), placeOf("interp", shared)];

test.for([false, true])(`${PROGRAMS} programs of seed ${SEED}, shared: %s`, (shared) => {
  const places = newPlaces(shared);
  const ends = new Map<number, number>();
  for (let index = FIRST; index < FIRST + PROGRAMS; index++) {
    const fds = places.map(({ host, maps }) => {
      const { fd, log } = loadProgram(host, soup(randomOf(SEED * 0x1_0001 + index), maps));
      if (fd < 0) throw new Error(`program ${index} of seed ${SEED}: ${log}`);
      return fd;
    });
    for (let n = 0; n < RUNS; n++) {
      const [jit, interp] = places.map((place, i) => {
        try {
          return place.run(fds[i]!, randomOf(SEED * 0x1_0001 + index * 64 + n));
        } catch (error) {
          throw new Error(`program ${index} of seed ${SEED}, run ${n}: ${(error as Error).message}`, { cause: error });
        }
      });
      const { ret } = jit!;
      ends.set(ret, (ends.get(ret) ?? 0) + 1);
      expect(jit, `program ${index} of seed ${SEED}, run ${n}`).toEqual(interp);
    }
    for (const [i, { host }] of places.entries()) host.close(fds[i]!);
  }
  if (process.env.BPFMAPS_SOUP !== undefined) console.log(ends);
  expect(ends.get(0) ?? 0).toBeGreaterThan(PROGRAMS / 20);
  for (const { host } of places) host.dispose();
});
