/** `memUsage` of each type is what a map takes when it is created. */
import { afterAll, expect, test } from "vitest";
import type { MinimalAttr } from "../maps/ops.ts";
import { mapRegistry } from "../maps/registry.ts";
import { BPF_MAP_CREATE, type BpfMapType, bpfMapTypeNames } from "../uapi/index.ts";
import { createEmbeddedHost } from "./embedded.ts";

const cpus = 3;
const host = createEmbeddedHost({ memory: 64 << 20, cpus });
afterAll(() => host.dispose());

function createInner({ map_type, key_size, value_size, max_entries }: MinimalAttr & { map_type: number }): number {
  return host.bpf(BPF_MAP_CREATE, { map_type, key_size, value_size, max_entries });
}

test.each(Object.keys(mapRegistry).map((type) => [bpfMapTypeNames[Number(type)]!, Number(type)] as const))(
  "%s",
  (_, map_type) => {
    const { minimalAttr, memUsage } = mapRegistry[map_type as BpfMapType]!;
    const { inner, ...attr } = { map_flags: 0, ...minimalAttr };
    const inner_map_fd = inner === undefined ? 0 : createInner(inner);
    // Rings want a power of two.
    for (const factor of [1, 8192]) {
      const size = { map_type, ...attr, max_entries: attr.max_entries * factor };
      const fd = host.bpf(BPF_MAP_CREATE, { ...size, inner_map_fd });
      // A large arena is refused without room for it.
      if (factor === 1) expect(fd).toBeGreaterThanOrEqual(0);
      if (fd < 0) continue;
      expect(host.mapBytes(fd)).toBe(memUsage({ ...size, map_extra: 0 }, cpus, 0));
      host.close(fd);
    }
    if (inner_map_fd > 0) host.close(inner_map_fd);
  },
);
