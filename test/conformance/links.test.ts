/**
 * Links, and BPF_PROG_TEST_RUN of tracing and struct_ops programs: errors on all hosts, with the kernel as judge; what a
 * link does on the embedded hosts, since on a kernel it would be attached to the machine.
 */
import { afterAll, expect, test } from "vitest";
import type { AttrObject, Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, embeddedOf, openHosts, placesOf } from "./hosts.ts";

const { R0 } = asm;
const hosts = openHosts({ anyCpu: true });
const embedded = embeddedOf(hosts).map(([, host]) => host);
const places = placesOf(hosts).map(([, host]) => host);
afterAll(() => {
  for (const host of embedded) expect(host.openFds()).toEqual([]);
  closeHosts(hosts);
});

interface Loaded {
  readonly host: Host;
  load(attr: AttrObject, ...items: readonly asm.AsmItem[]): number;
  idOf(name: string, kind: "func" | "typedef" | "struct"): number;
  tracing(attachType: number, name: string, ...items: readonly asm.AsmItem[]): number;
}

/** On each of the hosts, with what was loaded closed afterwards. */
function on(all: readonly Host[], check: (loaded: Loaded) => void): void {
  for (const host of all) {
    const fds: number[] = [];
    const { btf } = host.kernelBtf()!;
    const idOf: Loaded["idOf"] = (name, kind) => btf.find(name, kind)!;
    const load: Loaded["load"] = (attr, ...items) => {
      const insns = asm.assemble(items.length > 0 ? items : [asm.mov64Imm(R0, 0), asm.exit()]);
      const code = { insns: asm.encodeInsns(insns), insn_cnt: insns.length, license: "GPL" };
      const fd = host.bpf(u.BPF_PROG_LOAD, { ...code, ...attr });
      expect(fd).toBeGreaterThan(0);
      fds.push(fd);
      return fd;
    };
    const tracing: Loaded["tracing"] = (expected_attach_type, name, ...items) => {
      const attach_btf_id = idOf(name, "func");
      return load({ prog_type: u.BPF_PROG_TYPE_TRACING, expected_attach_type, attach_btf_id }, ...items);
    };
    check({ host, load, idOf, tracing });
    for (const fd of fds) host.close(fd);
  }
}

/** Whatever comes of it, nothing stays open. */
function answer(host: Host, cmd: number, attr: AttrObject): number {
  const result = host.bpf(cmd, attr);
  if (result >= 0 && cmd !== u.BPF_PROG_TEST_RUN) host.close(result);
  return Math.min(result, 0);
}

const iterator = ({ tracing }: Loaded): number => tracing(u.BPF_TRACE_ITER, "bpf_iter_bpf_map_elem");
const mapOf = (host: Host): number =>
  host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 1 });

test("a tracing program of another attach type has no test run, and flags and the like come first", () => {
  on(places, (loaded) => {
    const { host } = loaded;
    const prog_fd = iterator(loaded);
    const run = (attr: AttrObject): number => answer(host, u.BPF_PROG_TEST_RUN, { prog_fd, ...attr });
    const data = new Uint8Array(64);
    expect([
      run({}),
      run({ repeat: 3, duration: 1 }),
      run({ data_in: data, data_size_in: 64, ctx_in: data, ctx_size_in: 64 }),
      run({ flags: 1 }),
      run({ cpu: 1 }),
      run({ batch_size: 1 }),
      run({ ctx_size_in: 8 }),
    ]).toEqual([-u.EFAULT, -u.EFAULT, -u.EFAULT, -u.EINVAL, -u.EINVAL, -u.EINVAL, -u.EINVAL]);
  });
});

test("BPF_RAW_TRACEPOINT_OPEN: errors", () => {
  on(places, (loaded) => {
    const { host, load } = loaded;
    const open = (attr: AttrObject): number => answer(host, u.BPF_RAW_TRACEPOINT_OPEN, attr);
    const map = mapOf(host);
    const raw = load({ prog_type: u.BPF_PROG_TYPE_RAW_TRACEPOINT });
    const iter = iterator(loaded);
    expect([
      open({ prog_fd: 999 }),
      open({ prog_fd: map }),
      open({ prog_fd: load({ prog_type: u.BPF_PROG_TYPE_XDP }) }),
      // Without a name the kernel here refuses every tracing program alike (EPERM).
      host.kind === "kernel" ? -u.EINVAL : open({ prog_fd: iter }),
      open({ prog_fd: iter, name: "sched_switch" }),
      open({ prog_fd: raw }),
      open({ prog_fd: raw, name: 0x1000 }),
      open({ prog_fd: raw, name: "no_such_tracepoint" }),
    ]).toEqual([-u.EBADF, -u.EINVAL, -u.EINVAL, -u.EINVAL, -u.EINVAL, -u.EFAULT, -u.EFAULT, -u.ENOENT]);
    host.close(map);
  });
});

test("BPF_LINK_CREATE, _DETACH and the ids of links: errors", () => {
  on(places, (loaded) => {
    const { host, load } = loaded;
    const create = (attr: AttrObject): number => answer(host, u.BPF_LINK_CREATE, attr);
    const map = mapOf(host);
    const iter = iterator(loaded);
    const xdp = load({ prog_type: u.BPF_PROG_TYPE_XDP });
    const raw = load({ prog_type: u.BPF_PROG_TYPE_RAW_TRACEPOINT });
    expect([
      create({ prog_fd: 999 }),
      create({ prog_fd: 999, attach_type: u.BPF_TRACE_FENTRY, flags: 1 }),
      create({ prog_fd: map, attach_type: u.BPF_TRACE_FENTRY }),
      create({ prog_fd: iter, attach_type: 9999 }),
      create({ prog_fd: iter, attach_type: u.BPF_TRACE_FENTRY }),
      create({ prog_fd: iter, attach_type: u.BPF_XDP }),
      create({ prog_fd: xdp, attach_type: u.BPF_TRACE_FENTRY }),
      create({ prog_fd: raw, attach_type: u.BPF_TRACE_RAW_TP }),
      create({ prog_fd: 999, attach_type: u.BPF_STRUCT_OPS }),
      create({ prog_fd: map, attach_type: u.BPF_STRUCT_OPS }),
      answer(host, u.BPF_LINK_DETACH, { link_fd: 999 }),
      answer(host, u.BPF_LINK_DETACH, { link_fd: map }),
      answer(host, u.BPF_LINK_GET_NEXT_ID, { start_id: 0x7fff_ffff }),
      answer(host, u.BPF_LINK_GET_FD_BY_ID, { link_id: 0 }),
      answer(host, u.BPF_LINK_GET_FD_BY_ID, { link_id: 0x7000_0000 }),
    ]).toEqual([
      -u.EBADF,
      -u.EBADF,
      -u.EINVAL,
      -u.EINVAL,
      -u.EINVAL,
      -u.EINVAL,
      -u.EINVAL,
      -u.EINVAL,
      -u.EBADF,
      -u.EINVAL,
      -u.EBADF,
      -u.EINVAL,
      -u.EINVAL,
      -u.ENOENT,
      -u.ENOENT,
    ]);
    // The first byte behind the last field.
    for (const [cmd, end] of [
      [u.BPF_RAW_TRACEPOINT_OPEN, 24],
      [u.BPF_LINK_CREATE, 60],
      [u.BPF_LINK_DETACH, 4],
      [u.BPF_LINK_GET_NEXT_ID, 8],
      [u.BPF_LINK_GET_FD_BY_ID, 4],
    ] as const) {
      const attr = new Uint8Array(80);
      new DataView(attr.buffer).setUint32(0, 999, true);
      attr[8] = cmd === u.BPF_RAW_TRACEPOINT_OPEN ? 255 : 0;
      const before = host.bpf(cmd, attr);
      attr[end] = 1;
      expect([before === -u.EINVAL, host.bpf(cmd, attr)], `command ${cmd}`).toEqual([false, -u.EINVAL]);
    }
    host.close(map);
  });
});

test("struct_ops: of structs other than bpf_dummy_ops there is no test run", () => {
  on(places, ({ host, load, idOf }) => {
    const other = idOf("tcp_congestion_ops", "struct");
    // The embedded kernel's own types have no other struct of callbacks.
    if (other === undefined) return;
    const prog_fd = load({ prog_type: u.BPF_PROG_TYPE_STRUCT_OPS, attach_btf_id: other, expected_attach_type: 0 });
    expect(answer(host, u.BPF_PROG_TEST_RUN, { prog_fd })).toBe(-u.EOPNOTSUPP);
  });
});

const { fields } = u.bpf_link_info;

function infoOf(host: Host, fd: number): DataView {
  const info = new Uint8Array(u.bpf_link_info.size);
  expect(host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: info.length, info })).toBe(0);
  return new DataView(info.buffer);
}

const nextLink = (host: Host, start_id = 0): number => {
  const attr = { start_id, next_id: 0 };
  return host.bpf(u.BPF_LINK_GET_NEXT_ID, attr) < 0 ? 0 : attr.next_id;
};

test("a link is an object: it has an id and tells of itself, holds its program, and goes with its last fd", () => {
  on(embedded, ({ host, idOf, load }) => {
    const target = idOf("bpf_modify_return_test", "func");
    const modify = { expected_attach_type: u.BPF_MODIFY_RETURN, attach_btf_id: target };
    const prog = host.bpf(u.BPF_PROG_LOAD, {
      prog_type: u.BPF_PROG_TYPE_TRACING,
      insns: asm.encodeInsns([asm.mov64Imm(R0, 100), asm.exit()]),
      insn_cnt: 2,
      license: "GPL",
      ...modify,
    });
    const other = load({ prog_type: u.BPF_PROG_TYPE_TRACING, ...modify });
    const run = (): number | bigint => {
      const attr: AttrObject = { prog_fd: other, retval: 0 };
      expect(host.bpf(u.BPF_PROG_TEST_RUN, attr)).toBe(0);
      return attr.retval as number;
    };
    expect(run()).toBe(0x2_0000 + 33);
    const link = host.bpf(u.BPF_LINK_CREATE, { prog_fd: prog, attach_type: u.BPF_MODIFY_RETURN, cookie: 2n ** 63n });
    expect(link).toBeGreaterThan(0);
    const info = infoOf(host, link);
    const id = info.getUint32(fields.id.offset, true);
    expect(nextLink(host)).toBe(id);
    expect(info.getUint32(fields.type.offset, true)).toBe(u.BPF_LINK_TYPE_TRACING);
    const { attach_type, target_btf_id, cookie } = fields.tracing.fields;
    expect(info.getUint32(attach_type.offset, true)).toBe(u.BPF_MODIFY_RETURN);
    expect(info.getUint32(target_btf_id.offset, true)).toBe(target);
    expect(info.getBigUint64(cookie.offset, true)).toBe(2n ** 63n);
    const lines = [`link_type:\ttracing`, `link_id:\t${id}`, `attach_type:\t26`, `cookie:\t${2n ** 63n}`];
    for (const line of lines) expect(host.fdinfo(link)).toContain(`${line}\n`);
    // A link cannot be pinned, detached by force, or made twice.
    expect(host.bpf(u.BPF_LINK_DETACH, { link_fd: link })).toBe(-u.EOPNOTSUPP);
    expect(host.bpf(u.BPF_PROG_TEST_RUN, { prog_fd: link })).toBe(-u.EINVAL);
    expect(host.bpf(u.BPF_RAW_TRACEPOINT_OPEN, { prog_fd: prog })).toBe(-u.EBUSY);
    const progId = info.getUint32(fields.prog_id.offset, true);
    host.close(prog);
    expect(run()).toBe(0x1_0000 + 129);
    const again = host.bpf(u.BPF_LINK_GET_FD_BY_ID, { link_id: id });
    host.close(link);
    expect(run()).toBe(0x1_0000 + 129);
    host.close(again);
    expect(run()).toBe(0x2_0000 + 33);
    expect(nextLink(host)).toBe(0);
    expect(host.bpf(u.BPF_LINK_GET_FD_BY_ID, { link_id: id })).toBe(-u.ENOENT);
    expect(host.bpf(u.BPF_PROG_GET_FD_BY_ID, { prog_id: progId })).toBe(-u.ENOENT);
  });
});

test("38 programs fit on one function; links to anything but test functions are there and do nothing", () => {
  on(embedded, ({ host, tracing, load }) => {
    const links = Array.from({ length: 38 }, (_, i) => {
      const fd = tracing(i % 2 === 0 ? u.BPF_TRACE_FENTRY : u.BPF_TRACE_FEXIT, "bpf_fentry_test5");
      return host.bpf(u.BPF_RAW_TRACEPOINT_OPEN, { prog_fd: fd });
    });
    expect(links.every((fd) => fd > 0)).toBe(true);
    const one = tracing(u.BPF_TRACE_FENTRY, "bpf_fentry_test5");
    const open = (attr: AttrObject): number => host.bpf(u.BPF_RAW_TRACEPOINT_OPEN, attr);
    expect(open({ prog_fd: one })).toBe(-u.E2BIG);
    host.close(links.pop()!);
    links.push(open({ prog_fd: one }));
    expect(answer(host, u.BPF_PROG_TEST_RUN, { prog_fd: one })).toBe(0);
    // A function that is there by name, and that nothing calls.
    links.push(
      open({ prog_fd: tracing(u.BPF_TRACE_FENTRY, "bpf_rcu_read_lock", asm.ldx("u64", R0, R0, 0), asm.exit()) }),
    );
    expect(answer(host, u.BPF_PROG_TEST_RUN, { prog_fd: one })).toBe(0);
    // Other kinds of links are not made here.
    const xdp = load({ prog_type: u.BPF_PROG_TYPE_XDP });
    expect(host.bpf(u.BPF_LINK_CREATE, { prog_fd: xdp, target_fd: 1, attach_type: u.BPF_XDP })).toBe(-u.ENOTSUPP);
    expect(links.at(-1)).toBeGreaterThan(0);
    for (const fd of links) expect(host.close(fd)).toBe(0);
    expect(nextLink(host)).toBe(0);
  });
});

test("a program on a test function that does what it must not do fails the test run, and nothing is left of it", () => {
  on(embedded, ({ host, tracing }) => {
    const bad = tracing(
      u.BPF_TRACE_FEXIT,
      "bpf_fentry_test2",
      asm.ldImm64(R0, 0x1234_0000_0000n),
      asm.ldx("u64", R0, R0, 0),
      asm.exit(),
    );
    const link = host.bpf(u.BPF_RAW_TRACEPOINT_OPEN, { prog_fd: bad });
    const run = (): number => answer(host, u.BPF_PROG_TEST_RUN, { prog_fd: bad });
    expect([run(), run()]).toEqual([-u.EFAULT, -u.EFAULT]);
    const stream_buf = new Uint8Array(4096);
    const attr = { stream_buf, stream_buf_len: 4096, stream_id: u.BPF_STDERR, prog_fd: bad };
    expect(host.bpf(u.BPF_PROG_STREAM_READ_BY_FD, attr)).toBeGreaterThan(0);
    host.close(link);
    expect(run()).toBe(0);
  });
});
