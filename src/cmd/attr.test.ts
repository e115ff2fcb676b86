import { afterAll, expect, test } from "vitest";
import { createEmbeddedHost } from "../host/embedded.ts";
import * as u from "../uapi/index.ts";

/** What Linux 6.18 does at the end of a mapping, seen with bpf(2) itself: the kernel host gives it no such pointers. */
const PAGE = 4096;
const host = createEmbeddedHost({ memory: 1 << 24, seed: 1 });
const pages = host.bpf(u.BPF_MAP_CREATE, {
  map_type: u.BPF_MAP_TYPE_ARRAY,
  key_size: 4,
  value_size: PAGE,
  max_entries: 1,
  map_flags: u.BPF_F_MMAPABLE,
});
const page = host.mmap(pages, { offset: 0, length: PAGE, prot: u.PROT_READ | u.PROT_WRITE }) as Uint8Array;
const end = Number(host.mappedAt(page)) + PAGE;
const map_fd = host.bpf(u.BPF_MAP_CREATE, {
  map_type: u.BPF_MAP_TYPE_HASH,
  key_size: 8,
  value_size: 8,
  max_entries: 4,
});
const key = new Uint8Array(8).fill(1);

afterAll(() => host.dispose());

/** The last eight bytes of the page after the call, of which four are the buffer's. */
function tail(cmd: number, result: number, fields: Record<string, number | Uint8Array>): string {
  page.fill(0xee);
  expect(host.bpf(cmd, { map_fd, ...fields })).toBe(result);
  return Buffer.from(page.subarray(-8)).toString("hex");
}

test("a result that ends beyond the caller's memory is written as far as that reaches", () => {
  const value = new Uint8Array(8).fill(0x22);
  const put = (): number => host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key, value });
  expect(put()).toBe(0);
  const to = end - 4;
  expect(tail(u.BPF_MAP_LOOKUP_ELEM, -u.EFAULT, { key, value: to })).toBe("eeeeeeee22222222");
  expect(tail(u.BPF_MAP_GET_NEXT_KEY, -u.EFAULT, { key: 0, next_key: to })).toBe("eeeeeeee01010101");
  const batch = { in_batch: 0, out_batch: new Uint8Array(4), count: 1 };
  expect(tail(u.BPF_MAP_LOOKUP_BATCH, -u.EFAULT, { ...batch, keys: to, values: value })).toBe("eeeeeeee01010101");
  expect(tail(u.BPF_MAP_LOOKUP_BATCH, -u.EFAULT, { ...batch, keys: key, values: to })).toBe("eeeeeeee22222222");
  expect(tail(u.BPF_MAP_LOOKUP_AND_DELETE_ELEM, -u.EFAULT, { key, value: to })).toBe("eeeeeeee22222222");
  expect(tail(u.BPF_MAP_LOOKUP_AND_DELETE_ELEM, -u.ENOENT, { key, value: to })).toBe("eeeeeeeeeeeeeeee");
});
