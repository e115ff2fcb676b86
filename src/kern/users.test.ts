import { expect, test, vi } from "vitest";
import { PLAIN_MAP } from "../../test/plain_map.ts";
import { hashMap } from "../maps/hash.ts";
import { OBJ_REFS, OBJ_USERS } from "../mem/layout.ts";
import { BPF_MAP_TYPE_HASH } from "../uapi/index.ts";
import { createKernel } from "./create.ts";
import { FMODE_READ } from "./fds.ts";
import type { Kernel } from "./kernel.ts";
import { detach } from "./leave.ts";
import { allocMap } from "./map.ts";

function newMap(kernel: Kernel): number {
  return allocMap(kernel, hashMap, {
    map_type: BPF_MAP_TYPE_HASH,
    key_size: 4,
    value_size: 4,
    max_entries: 1,
    map_flags: 0,
    ...PLAIN_MAP,
  });
}

test.each([false, true])("fds and pins count as users; the map hears when the last one goes (shared: %s)", (shared) => {
  const kernel = createKernel({ memory: 16 << 20, cpus: 1, shared, seed: 1, virtualClock: true });
  const { u32 } = kernel.mem;
  const map = newMap(kernel);
  const seen: number[] = [];
  const heard = vi.spyOn(hashMap.ops, "map_release_uref").mockImplementation((_env, gone) => {
    expect(gone).toBe(map);
    seen.push(u32[(map + OBJ_REFS) >>> 2]!);
  });
  kernel.hold(map); // as a program does
  const first = kernel.publish(map, FMODE_READ);
  kernel.hold(map);
  const second = kernel.install(map, FMODE_READ);
  kernel.holdUser(map); // as a pin does
  expect([u32[(map + OBJ_REFS) >>> 2], u32[(map + OBJ_USERS) >>> 2]]).toEqual([4, 3]);
  kernel.close(first);
  kernel.putUser(map);
  expect(seen).toEqual([]);
  kernel.close(second);
  // Once, while the reference that goes still holds the map; then again after it was opened again.
  expect(seen).toEqual([2]);
  kernel.hold(map);
  kernel.install(map, FMODE_READ);
  kernel.put(map);
  detach(kernel);
  expect(seen).toEqual([2, 1]);
  heard.mockRestore();
});
