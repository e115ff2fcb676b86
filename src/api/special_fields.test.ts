/** Special fields through the typed API: values under their lock, fields that are no part of the value. */
import { expect, test } from "vitest";
import { onEachHost } from "../../test/hosts.ts";
import { BpfError, refcount, resSpinLock, spinLock, struct, taskWork, timer, u32, u64, workqueue } from "../index.ts";

const Counter = struct({ lock: spinLock, packets: u64, bytes: u64 });
const one = { packets: 1n, bytes: 60n };

test("they lie where C puts them", () => {
  const all = {
    a: u32,
    timer,
    b: u32,
    lock: spinLock,
    res: resSpinLock,
    refs: refcount,
    work: taskWork,
    wq: workqueue,
  };
  const layout = struct(all).layout as { fields: readonly { name: string; offset: number }[]; size: number };
  expect(layout.fields.map((f) => f.offset)).toEqual([0, 8, 24, 28, 32, 36, 40, 48]);
  expect(Counter.decode(Counter.encode(one))).toEqual(one);
});

onEachHost((host) => {
  test("values under a spinLock: hash", () => {
    const counters = host.createMap({ type: "hash", name: "counters", key: u32, value: Counter, maxEntries: 8 });
    counters.set(1, one, { lock: true });
    counters.set(1, { packets: 2n, bytes: 120n }, { lock: true, ifMissing: "fail" });
    expect(counters.get(1, { lock: true })).toEqual({ packets: 2n, bytes: 120n });
    expect(counters.get(2, { lock: true })).toBeUndefined();
    expect(counters.get(1)).toEqual({ packets: 2n, bytes: 120n });
    expect([...counters]).toEqual([[1, { packets: 2n, bytes: 120n }]]);
    expect(() => counters.freeze()).toThrow(BpfError);
    counters.close();
  });

  test("values under a spinLock: array", () => {
    const counters = host.createMap({ type: "array", name: "counters", value: Counter, maxEntries: 2 });
    counters.set(1, one, { lock: true });
    expect(counters.get(1, { lock: true })).toEqual(one);
    expect(counters.get(2, { lock: true })).toBeUndefined();
    counters.close();
  });

  test("without a spinLock: EINVAL that says what to do", () => {
    const plain = host.createMap({ type: "hash", name: "plain", key: u32, value: u64, maxEntries: 8 });
    for (const call of [() => plain.get(1, { lock: true }), () => plain.set(1, 1n, { lock: true })]) {
      expect(call).toThrow(expect.objectContaining({ code: "EINVAL", hint: expect.stringContaining("spinLock") }));
    }
    // The next lookup is one without the lock again.
    expect(plain.get(1)).toBeUndefined();
    plain.close();
  });

  test("timers and work in values", () => {
    const Job = struct({ due: u64, timer, work: workqueue, task: taskWork });
    const jobs = host.createMap({ type: "lru_hash", name: "jobs", key: u32, value: Job, maxEntries: 8 });
    jobs.set(1, { due: 5n });
    expect(jobs.get(1)).toEqual({ due: 5n });
    expect(() => jobs.freeze()).toThrow(BpfError);
    jobs.close();
  });
});
