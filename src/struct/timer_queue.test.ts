import { expect, test } from "vitest";
import { alloc, initAlloc } from "../mem/alloc.ts";
import { reserveMemory } from "../mem/memory.ts";
import { ANCHOR_SIZE } from "./anchors.ts";
import { dueTimer, firstTimer, isRunning, lockTimers, startTimer, stopTimer, TIMER_EXPIRY } from "./timer_queue.ts";

test("timers leave the queue by expiry, then in the order of their starts", () => {
  const mem = reserveMemory(64, false);
  initAlloc(mem, 64);
  const queue = lockTimers(mem);
  const timers = Array.from({ length: 500 }, () => alloc(mem, ANCHOR_SIZE));
  let seed = 1;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed % n;
  };
  const model = new Map<number, readonly [bigint, number]>();
  let starts = 0;
  for (let i = 0; i < 5000; i++) {
    const timer = timers[random(timers.length)]!;
    if (random(3) === 0) {
      expect(stopTimer(mem, queue, timer)).toBe(model.delete(timer));
    } else {
      const expiry = BigInt(random(50)) << BigInt(random(2) * 40);
      expect(startTimer(mem, queue, timer, expiry)).toBe(true);
      model.set(timer, [expiry, starts++]);
    }
    expect(isRunning(mem, timer)).toBe(model.has(timer));
  }
  const order = [...model].sort(([, a], [, b]) => (a[0] === b[0] ? a[1] - b[1] : a[0] < b[0] ? -1 : 1));
  for (const [timer, [expiry]] of order) {
    expect(dueTimer(mem, queue, expiry - 1n)).toBe(0);
    expect(dueTimer(mem, queue, expiry)).toBe(timer);
    expect(mem.u64[(timer + TIMER_EXPIRY) >>> 3]).toBe(expiry);
    stopTimer(mem, queue, timer);
  }
  expect(firstTimer(mem, queue)).toBe(0);
});
