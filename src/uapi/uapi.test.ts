import { expect, expectTypeOf, test } from "vitest";
import * as uapi from "./index.ts";

test("numbers that the whole project stands on", () => {
  expect(uapi.BPF_MAP_CREATE).toBe(0);
  expect(uapi.BPF_MAP_TYPE_ARENA).toBe(33);
  expect(uapi.BPF_F_NO_USER_CONV).toBe(1 << 18);
  expect(uapi.BPF_RINGBUF_BUSY_BIT).toBe(2 ** 31);
  expect(uapi.BPF_F_CURRENT_CPU).toBe(0xffff_ffff);
  expect(uapi.BPF_F_CTXLEN_MASK).toBe(0xf_ffff * 2 ** 32);
  expect(uapi.BPF_FUNC_map_lookup_elem).toBe(1);
  expect(uapi.XDP_REDIRECT).toBe(4);
});

test("name tables give the usual one of two names", () => {
  expect(uapi.bpfMapTypeNames[uapi.BPF_MAP_TYPE_CGROUP_STORAGE]).toBe("BPF_MAP_TYPE_CGROUP_STORAGE");
  expect(uapi.bpfMapTypeNames[uapi.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE]).toBe("BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE");
  expect(uapi.bpfCmdNames[uapi.BPF_PROG_TEST_RUN]).toBe("BPF_PROG_TEST_RUN");
  expect(uapi.bpfFuncNames[uapi.BPF_FUNC_ringbuf_output]).toBe("BPF_FUNC_ringbuf_output");
  expect(Object.keys(uapi.bpfMapTypeNames)).toEqual(Array.from({ length: 36 }, (_, type) => `${type}`));
  expect(Object.keys(uapi.bpfCmdNames)).toHaveLength(38);
});

test("what is newer than 6.18 says since when", () => {
  const constants: Record<string, unknown> = { ...uapi };
  for (const [name, since] of Object.entries(uapi.newerThan618)) {
    expect(constants[name], name).toBeTypeOf("number");
    expect(since).toMatch(/^\d+\.\d+$/);
  }
  expect(uapi.newerThan618.BPF_MAP_TYPE_RHASH).toBe("7.2");
});

test("a map type is one of 35 numbers", () => {
  expectTypeOf<34>().toExtend<uapi.BpfMapType>();
  expectTypeOf<0>().not.toExtend<uapi.BpfMapType>();
  expectTypeOf<36>().not.toExtend<uapi.BpfMapType>();
});

test("layouts", () => {
  expect(uapi.bpf_attr.size).toBe(168);
  expect(uapi.bpf_attr.elem.key.offset).toBe(8);
  expect(uapi.bpf_attr.elem.next_key).toEqual(uapi.bpf_attr.elem.value);
  expect(uapi.bpf_attr.map_create.excl_prog_hash_size).toEqual({ offset: 88, size: 4 });
  expect(uapi.bpf_attr.link_create.uprobe_multi.fields.pid).toEqual({ offset: 56, size: 4 });
  expect(uapi.bpf_attr_sizes.map_create).toBe(96);
  expect(uapi.bpf_map_info.size).toBe(104);
  expect(uapi.bpf_map_info.fields.map_extra.offset).toBe(80);
  expect(uapi.bpf_insn.fields.src_reg).toEqual({ offset: 1, size: 1, bit: 4, bits: 4 });
  expect(uapi.xdp_md.fields.data_end.offset).toBe(4);
});

test("errnoName", () => {
  expect(uapi.errnoName(-22)).toBe("EINVAL");
  expect(uapi.errnoName(524)).toBe("ENOTSUPP");
  expect(uapi.errnoName(95)).toBe("EOPNOTSUPP");
  expect(uapi.errnoName(9999)).toBe("E9999");
  const constants: Record<string, unknown> = { ...uapi };
  for (const [number, name] of Object.entries(uapi.errnoNames)) expect(constants[name]).toBe(Number(number));
});
