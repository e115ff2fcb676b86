/**
 * Memory runs out: a map that does not fit is -ENOMEM and takes nothing, and what is there stays as it is; so for an
 * element of a map that grows, whose room is there again after a deletion.
 */
import { expect, test } from "vitest";
import { createEmbeddedHost, type EmbeddedHost } from "../../src/host/embedded.ts";
import * as u from "../../src/uapi/index.ts";
import { createMap, keyOf, type Shape, shapes, update } from "./cycles.ts";

const MEMORY = 3 << 19;
const name = ({ map_type, map_flags = 0 }: Shape): string => `${u.bpfMapTypeNames[map_type]}, flags ${map_flags}`;

const isRing = ({ map_type }: Shape): boolean =>
  map_type === u.BPF_MAP_TYPE_RINGBUF || map_type === u.BPF_MAP_TYPE_USER_RINGBUF;

/** A max_entries that the type takes and no memory of this size holds. */
function tooMany(shape: Shape): number {
  if (shape.map_type === u.BPF_MAP_TYPE_BLOOM_FILTER) return 2 ** 31;
  if (isRing(shape)) return 2 << 20;
  return shape.value_size === 4 ? MEMORY : MEMORY / 4;
}

/** Ever fewer elements: a map of several pieces fails first at its first one, then at the others, until it fits. */
const fewer = (shape: Shape, entries: number): number => (isRing(shape) ? entries / 2 : Math.floor(entries * 0.85));

function newHost(shared: boolean): EmbeddedHost {
  return createEmbeddedHost({ memory: MEMORY, cpus: 2, seed: 1, shared });
}

function lookup(host: EmbeddedHost, shape: Shape, fd: number, n: number): number {
  const value = new Uint8Array(Math.ceil(shape.value_size / 8) * 8 * host.possibleCpus);
  const ret = host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key: keyOf(shape, n), value });
  return ret === 0 ? value[0]! : ret;
}

/** Numbers below `count` for which this is not so; one expectation for many elements is quicker than as many. */
function wrong(count: number, right: (n: number) => boolean): number[] {
  const found: number[] = [];
  for (let n = 0; n < count; n++) if (!right(n)) found.push(n);
  return found;
}

/** Types that take their memory at creation. */
const taken = shapes.filter(
  ({ map_type, map_flags = 0, inner, small }) =>
    small !== true &&
    ((map_flags & u.BPF_F_NO_PREALLOC) === 0 || (inner === true && map_type !== u.BPF_MAP_TYPE_LPM_TRIE)),
);
const growing = shapes.filter(({ map_flags = 0 }) => (map_flags & u.BPF_F_NO_PREALLOC) !== 0);

for (const shared of [false, true]) {
  test.each(taken.map((s) => [name(s), s] as const))(`a map too large (shared: ${shared}): %s`, (_, shape) => {
    const host = newHost(shared);
    const small = createMap(host, shapes[0]!);
    expect(wrong(200, (n) => update(host, shapes[0]!, small, n) === 0)).toEqual([]);
    // What an inner map and the command itself take from the slabs is taken now.
    host.close(createMap(host, shape));
    const before = [host.memory(), host.openFds()];
    let entries = tooMany(shape);
    let fd = createMap(host, shape, entries);
    expect(fd).toBe(-u.ENOMEM);
    for (; fd < 0; fd = createMap(host, shape, entries)) {
      expect(fd).toBe(-u.ENOMEM);
      expect([host.memory(), host.openFds()]).toEqual(before);
      entries = fewer(shape, entries);
    }
    expect(wrong(200, (n) => lookup(host, shapes[0]!, small, n) === n)).toEqual([]);
    host.close(fd);
    expect([host.memory(), host.openFds()]).toEqual(before);
    host.dispose();
  });

  test.each(growing.map((s) => [name(s), s] as const))(`a map that grows (shared: ${shared}): %s`, (_, shape) => {
    const host = newHost(shared);
    const fd = createMap(host, shape, 1 << 15);
    let count = 0;
    let ret = update(host, shape, fd, count);
    for (; ret === 0; ret = update(host, shape, fd, count)) count++;
    expect(ret).toBe(-u.ENOMEM);
    expect(count).toBeGreaterThan(1_000);
    // Once more, and nothing is lost by that.
    const full = host.memory();
    expect(update(host, shape, fd, count)).toBe(-u.ENOMEM);
    expect(host.memory()).toEqual(full);
    const lost = (): number[] => wrong(count, (n) => lookup(host, shape, fd, n) === (n & 0xff));
    expect(lost()).toEqual([]);
    // What is deleted makes room for as much.
    const gone = 100;
    const remove = (n: number): number => host.bpf(u.BPF_MAP_DELETE_ELEM, { map_fd: fd, key: keyOf(shape, n) });
    expect(wrong(gone, (n) => remove(n) === 0)).toEqual([]);
    expect(wrong(gone, (n) => update(host, shape, fd, n) === 0)).toEqual([]);
    expect(lost()).toEqual([]);
    expect(host.memory()).toEqual(full);
    host.dispose();
  });
}
