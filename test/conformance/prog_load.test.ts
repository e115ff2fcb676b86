/** PROG_LOAD, program info, ids and streams: what Linux 6.18 answers, on the embedded hosts and on the kernel at hand. */
import { createHash } from "node:crypto";
import { afterAll, expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import type { AttrObject, Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
import { loadProgram } from "./programs.ts";

const { R0, R1, R2, R3, R4, R10 } = asm;
const hosts = openHosts();
const places = placesOf(hosts);
let compared = 0;
afterAll(() => {
  expect(hosts.exclusive.openFds()).toEqual([]);
  closeHosts(hosts);
  console.log(`programs: ${compared} answers, ${hosts.kernel === undefined ? hosts.kernelNote : "also the kernel's"}`);
});

const end: readonly asm.AsmItem[] = [asm.mov64Imm(R0, 2), asm.exit()];
const code = (...items: asm.AsmItem[]): { insns: Uint8Array; insn_cnt: number } => {
  const insns = asm.assemble([...items, ...end]);
  return { insns: asm.encodeInsns(insns), insn_cnt: insns.length };
};
const BASE: AttrObject = { prog_type: u.BPF_PROG_TYPE_XDP, license: "GPL", ...code() };
const BAD = 0x1000;

/** Result of a load, 0 for an fd; the fd is closed. */
function load(host: Host, attr: AttrObject): number {
  const fd = host.bpf(u.BPF_PROG_LOAD, { ...BASE, ...attr });
  if (fd >= 0) host.close(fd);
  return Math.min(fd, 0);
}

function everywhere(check: (host: Host, name: string) => void): void {
  for (const [name, host] of places) {
    check(host, name);
    compared++;
  }
}

const log = (): Uint8Array => new Uint8Array(4096);
const attrRows: readonly (readonly [id: string, attr: () => AttrObject, result: number])[] = [
  ["plain", () => ({}), 0],
  ["insn_cnt.0", () => ({ insn_cnt: 0 }), -u.E2BIG],
  ["insn_cnt.1000001", () => ({ insn_cnt: 1_000_001, insns: BAD }), -u.E2BIG],
  ["insns.null", () => ({ insns: null }), -u.EFAULT],
  ["insns.bad", () => ({ insns: BAD }), -u.EFAULT],
  ["license.null", () => ({ license: null }), -u.EFAULT],
  ["license.bad", () => ({ license: BAD }), -u.EFAULT],
  ["license.long", () => ({ license: "G".repeat(300) }), 0],
  ["type.0", () => ({ prog_type: 0 }), -u.EINVAL],
  ["type.1000", () => ({ prog_type: 1000 }), -u.EINVAL],
  ["type.1000-insns-bad", () => ({ prog_type: 1000, insns: BAD }), -u.EFAULT],
  ["type.1000-insn_cnt-0", () => ({ prog_type: 1000, insn_cnt: 0 }), -u.E2BIG],
  ...Array.from({ length: 20 }, (_, bit) => {
    const known = [0, 1, 2, 3, 5, 6, 7].includes(bit);
    return [
      `flag.${bit}`,
      () => ({ prog_flags: 1 << bit, prog_token_fd: 9999 }),
      known ? 0 : bit === 16 ? -u.EBADF : -u.EINVAL,
    ] as const;
  }),
  ["name", () => ({ prog_name: "ab.c_1" }), 0],
  ["name.bad", () => ({ prog_name: "a-b" }), -u.EINVAL],
  ["name.bad-then-code", () => ({ prog_name: "a-b", insns: asm.encodeInsns([asm.exit()]), insn_cnt: 1 }), -u.EINVAL],
  ["kern_version", () => ({ kern_version: 5 }), 0],
  ["ifindex.1", () => ({ prog_ifindex: 1 }), -u.EOPNOTSUPP],
  ["ifindex.999", () => ({ prog_ifindex: 999 }), -u.EINVAL],
  ["attach-type.any", () => ({ expected_attach_type: 100 }), 0],
  ["attach_btf_id", () => ({ attach_btf_id: 1 }), -u.EINVAL],
  ["attach_prog_fd", () => ({ attach_prog_fd: 9999 }), -u.EINVAL],
  ["btf-fd.unused", () => ({ prog_btf_fd: 9999 }), 0],
  ["btf-fd.bad", () => ({ prog_btf_fd: 9999, func_info_cnt: 1, func_info_rec_size: 8, func_info: BAD }), -u.EBADF],
  ["func_info.rec-size-unused", () => ({ func_info_rec_size: 7 }), 0],
  ["fd_array.bad-unused", () => ({ fd_array: BAD }), 0],
  ["fd_array.bad", () => ({ fd_array: BAD, fd_array_cnt: 1 }), -u.EFAULT],
  ["fd_array.null", () => ({ fd_array_cnt: 1 }), -u.EFAULT],
  ["fd_array.huge", () => ({ fd_array: BAD, fd_array_cnt: 0xffff_ffff }), -u.EINVAL],
  ["fd_array.bad-fd", () => ({ fd_array: Int32Array.of(9999), fd_array_cnt: 1 }), -u.EBADF],
  ["signature.size-alone", () => ({ signature_size: 5 }), 0],
  ["log.level-without-buffer", () => ({ log_level: 1 }), 0],
  ["log.buffer-without-level", () => ({ log_buf: log(), log_size: 4096 }), -u.EINVAL],
  ["log.size-without-buffer", () => ({ log_level: 1, log_size: 100 }), -u.EINVAL],
  ["log.level-16", () => ({ log_level: 16 }), -u.EINVAL],
  ["log.level-16-then-code", () => ({ log_level: 16, insns: asm.encodeInsns([asm.exit()]), insn_cnt: 1 }), -u.EINVAL],
  ["log.size-2^30", () => ({ log_level: 1, log_buf: BAD, log_size: 1 << 30 }), -u.EINVAL],
  ["log.buffer-bad", () => ({ log_level: 1, log_buf: BAD, log_size: 200, insns: new Uint8Array(16) }), -u.EFAULT],
];

test.each(attrRows)("attributes: %s", (_id, attr, result) => {
  everywhere((host, name) => expect(load(host, attr()), name).toBe(result));
});

test("a log that does not fit is ENOSPC and shows its end, with level 8 its beginning; its size is told", () => {
  everywhere((host, name) => {
    const asked = (level: number, size: number): { ret: number; text: string; size: number } => {
      const buffer = new Uint8Array(size);
      const attr = {
        ...BASE,
        ...code(asm.call(9999)),
        log_level: level,
        log_buf: buffer,
        log_size: size,
        log_true_size: 0,
      };
      const ret = host.bpf(u.BPF_PROG_LOAD, attr);
      return { ret, text: new TextDecoder().decode(buffer).replace(/\0.*$/s, ""), size: attr.log_true_size };
    };
    const whole = asked(1, 4096);
    expect([whole.ret, whole.size], name).toEqual([-u.EINVAL, whole.text.length + 1]);
    expect(whole.text, name).toContain("invalid func unknown#9999");
    expect(asked(1, 20), name).toEqual({ ret: -u.ENOSPC, text: whole.text.slice(-19), size: whole.size });
    expect(asked(9, 20), name).toEqual({ ret: -u.ENOSPC, text: whole.text.slice(0, 19), size: whole.size });
  });
});

test("log_true_size is told where no log is kept, too: 0", () => {
  everywhere((host, name) => {
    const loaded = (attr: AttrObject): readonly number[] => {
      const given = { ...BASE, log_true_size: 77, ...attr };
      const fd = host.bpf(u.BPF_PROG_LOAD, given);
      if (fd >= 0) host.close(fd);
      return [Math.min(fd, 0), given.log_true_size];
    };
    expect([loaded({}), loaded(code(asm.call(9999)))], name).toEqual([
      [0, 0],
      [-u.EINVAL, 0],
    ]);
    const { bytes } = someBtf();
    const parsed = (attr: AttrObject): readonly number[] => {
      const given = { btf: bytes, btf_size: bytes.length, btf_log_true_size: 77, ...attr };
      const fd = host.bpf(u.BPF_BTF_LOAD, given);
      if (fd >= 0) host.close(fd);
      return [Math.min(fd, 0), given.btf_log_true_size];
    };
    expect([parsed({}), parsed({ btf_size: 7 }), parsed({ btf: BAD })], name).toEqual([
      [0, 0],
      [-u.EINVAL, 0],
      [-u.EFAULT, 0],
    ]);
  });
});

test("fd_array holds BTF objects as long as the program lives, 64 of them", () => {
  everywhere((host, name) => {
    const { bytes } = someBtf();
    const open = (): number => host.bpf(u.BPF_BTF_LOAD, { btf: bytes, btf_size: bytes.length });
    const idOf = (fd: number): number => {
      const given = new Uint8Array(u.bpf_btf_info.size);
      host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info: given, info_len: given.length });
      return new DataView(given.buffer).getUint32(u.bpf_btf_info.fields.id.offset, true);
    };
    const fds = [open(), open()];
    const ids = fds.map(idOf);
    // Named twice it is held once.
    const fd_array = Int32Array.of(...fds, fds[1]!);
    const prog = host.bpf(u.BPF_PROG_LOAD, { ...BASE, fd_array, fd_array_cnt: 3 });
    for (const fd of fds) host.close(fd);
    const found = (): number[] =>
      ids.map((btf_id) => {
        const fd = host.bpf(u.BPF_BTF_GET_FD_BY_ID, { btf_id });
        if (fd >= 0) host.close(fd);
        return Math.min(fd, 0);
      });
    expect([Math.min(prog, 0), found()], name).toEqual([0, [0, 0]]);
    host.close(prog);
    // The kernel takes programs away a moment later.
    if (host.kind === "embedded") expect(found(), name).toEqual([-u.ENOENT, -u.ENOENT]);
    const many = Array.from({ length: 65 }, open);
    const array = (n: number): AttrObject => ({ fd_array: Int32Array.from(many.slice(0, n)), fd_array_cnt: n });
    expect([load(host, array(64)), load(host, array(65))], name).toEqual([0, -u.E2BIG]);
    for (const fd of many) host.close(fd);
  });
});

/** The fds that programs of the next table refer to. */
interface Fds {
  readonly array: number;
  readonly single: number;
  readonly hash: number;
  readonly readOnly: number;
  readonly ring: number;
  readonly queue: number;
  readonly prog: number;
}

function withFds(host: Host, use: (fds: Fds) => void): void {
  const map = (type: number, key: number, value: number, max: number, flags = 0): number =>
    host.bpf(u.BPF_MAP_CREATE, {
      map_type: type,
      key_size: key,
      value_size: value,
      max_entries: max,
      map_flags: flags,
    });
  const fds: Fds = {
    array: map(u.BPF_MAP_TYPE_ARRAY, 4, 8, 4),
    single: map(u.BPF_MAP_TYPE_ARRAY, 4, 8, 1),
    hash: map(u.BPF_MAP_TYPE_HASH, 4, 8, 4),
    readOnly: map(u.BPF_MAP_TYPE_HASH, 4, 8, 4, u.BPF_F_RDONLY_PROG),
    ring: map(u.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096),
    queue: map(u.BPF_MAP_TYPE_QUEUE, 0, 8, 4),
    prog: host.bpf(u.BPF_PROG_LOAD, BASE),
  };
  use(fds);
  for (const fd of Object.values(fds)) host.close(fd);
}

const key: readonly asm.AsmItem[] = [asm.mov64(R2, R10), asm.alu64Imm("add", R2, -4), asm.st("u32", R10, -4, 0)];
const value: readonly asm.AsmItem[] = [
  asm.mov64(R3, R10),
  asm.alu64Imm("add", R3, -16),
  asm.st("u64", R10, -16, 0),
  asm.mov64Imm(R4, 0),
];
const call = (fd: number, helper: number, ...args: asm.AsmItem[]): AttrObject =>
  code(...args, asm.ldMapFd(R1, fd), asm.call(helper));
const direct = (fd: number, offset: number): AttrObject => code(asm.ldMapValue(R1, fd, offset));

const codeRows: readonly (readonly [id: string, attr: (fds: Fds) => AttrObject, result: number])[] = [
  ["token.map", ({ hash }) => ({ ...code(), prog_flags: u.BPF_F_TOKEN_FD, prog_token_fd: hash }), -u.EINVAL],
  ["map.fd", ({ hash }) => code(asm.ldMapFd(R1, hash)), 0],
  ["map.fd-bad", () => code(asm.ldMapFd(R1, 9999)), -u.EBADF],
  ["map.fd-of-a-program", ({ prog }) => code(asm.ldMapFd(R1, prog)), -u.EINVAL],
  ["value", ({ single }) => direct(single, 7), 0],
  ["value.behind", ({ single }) => direct(single, 8), -u.EINVAL],
  ["value.2^29", ({ single }) => direct(single, 1 << 29), -u.EINVAL],
  ["value.of-hash", ({ hash }) => direct(hash, 0), -u.EINVAL],
  ["value.of-four", ({ array }) => direct(array, 0), -u.ENOTSUPP],
  ["index.without-array", () => code(asm.ldMapIdx(R1, 0)), -u.EPROTO],
  ["index", ({ hash }) => ({ ...code(asm.ldMapIdx(R1, 0)), fd_array: Int32Array.of(hash), fd_array_cnt: 1 }), 0],
  [
    "index.value",
    ({ single }) => ({ ...code(asm.ldMapIdxValue(R1, 0, 4)), fd_array: Int32Array.of(single), fd_array_cnt: 1 }),
    0,
  ],
  ["lookup.hash", ({ hash }) => call(hash, 1, ...key), 0],
  ["lookup.ringbuf", ({ ring }) => call(ring, 1, ...key), -u.EACCES],
  ["lookup.queue", ({ queue }) => call(queue, 1, ...key), -u.EACCES],
  ["push.hash", ({ hash }) => call(hash, 87, ...key, ...value, asm.mov64(R2, R3), asm.mov64Imm(R3, 0)), -u.EINVAL],
  ["push.queue", ({ queue }) => call(queue, 87, ...value, asm.mov64(R2, R3), asm.mov64Imm(R3, 0)), 0],
  ["update.read-only", ({ readOnly }) => call(readOnly, 2, ...key, ...value), -u.EACCES],
  ["delete.read-only", ({ readOnly }) => call(readOnly, 3, ...key), -u.EACCES],
  ["lookup.read-only", ({ readOnly }) => call(readOnly, 1, ...key), 0],
  ["percpu.hash", ({ hash }) => call(hash, 195, ...key, asm.mov64Imm(R3, 0)), -u.EINVAL],
  ["output.hash", ({ hash }) => call(hash, 130, ...key, ...value, asm.mov64(R2, R3), asm.mov64Imm(R3, 8)), -u.EINVAL],
  ["helper.9999", () => code(asm.call(9999)), -u.EINVAL],
  ["helper.-1", () => code(asm.call(-1)), -u.EINVAL],
  ["helper.0", () => code(asm.call(0)), -u.EINVAL],
  ["helper.of-skb", () => code(asm.call(u.BPF_FUNC_skb_store_bytes)), -u.EINVAL],
  ["helper.ktime-without-gpl", () => ({ ...code(asm.call(u.BPF_FUNC_ktime_get_ns)), license: "MIT" }), 0],
  ["ldAbs", () => code(asm.mov64(6, R1), asm.ldAbs("u8", 0)), -u.EINVAL],
  ["kfunc", () => code(asm.callKfunc(1)), -u.EINVAL],
  ["cast", () => code(asm.mov64Imm(R1, 0), asm.addrSpaceCast(R1, R1, 0)), -u.EINVAL],
];

test.each(codeRows)("code: %s", (_id, attr, result) => {
  everywhere((host, name) => withFds(host, (fds) => expect(load(host, attr(fds)), name).toBe(result)));
});

test("64 maps and no more, however they are named", () => {
  everywhere((host, name) => {
    const maps = Array.from({ length: 65 }, () =>
      host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 1 }),
    );
    const uses = (n: number): AttrObject => code(...maps.slice(0, n).map((fd) => asm.ldMapFd(R1, fd)));
    expect([load(host, uses(64)), load(host, uses(65))], name).toEqual([0, -u.E2BIG]);
    const array = (n: number): AttrObject => ({ fd_array: Int32Array.from(maps.slice(0, n)), fd_array_cnt: n });
    expect([load(host, array(64)), load(host, array(65))], name).toEqual([0, -u.E2BIG]);
    const same = { fd_array: new Int32Array(70).fill(maps[0]!), fd_array_cnt: 70 };
    expect(load(host, same), name).toBe(0);
    for (const fd of maps) host.close(fd);
  });
});

/** `int f(void)`, with file and line in its strings. */
function someBtf(): { bytes: Uint8Array; func: number; int: number; file: number } {
  const btf = new BtfBuilder();
  const int = btf.int("int", 4, { signed: true });
  const proto = btf.funcProto(int, []);
  const func = btf.func("f", proto, "static");
  const file = btf.string("file.c");
  return { bytes: btf.build(), func, int, file };
}

function withBtf(host: Host, use: (btf: { fd: number; func: number; int: number; file: number }) => void): void {
  const { bytes, func, int, file } = someBtf();
  const fd = host.bpf(u.BPF_BTF_LOAD, { btf: bytes, btf_size: bytes.length });
  expect(fd).toBeGreaterThan(0);
  use({ fd, func, int, file });
  host.close(fd);
}

interface Btf {
  readonly fd: number;
  readonly func: number;
  readonly int: number;
  readonly file: number;
}
const funcs = (btf: Btf, words: readonly number[], size = 8, count = words.length / 2): AttrObject => ({
  prog_btf_fd: btf.fd,
  func_info: Uint32Array.from(words),
  func_info_cnt: count,
  func_info_rec_size: size,
});
const lines = (btf: Btf, words: readonly number[], size = 16, count = words.length / 4): AttrObject => ({
  ...funcs(btf, [0, btf.func]),
  line_info: Uint32Array.from(words),
  line_info_cnt: count,
  line_info_rec_size: size,
});

const infoRows: readonly (readonly [id: string, attr: (btf: Btf) => AttrObject, result: number])[] = [
  ["func", (b) => funcs(b, [0, b.func]), 0],
  ["func.size-4", (b) => funcs(b, [0, b.func], 4, 1), -u.EINVAL],
  ["func.size-256", (b) => funcs(b, new Array(64).fill(0), 256, 1), -u.EINVAL],
  ["func.size-10", (b) => funcs(b, [0, b.func, 0], 10, 1), -u.EINVAL],
  ["func.size-12", (b) => funcs(b, [0, b.func, 0], 12, 1), 0],
  ["func.tail", (b) => funcs(b, [0, b.func, 1], 12, 1), -u.E2BIG],
  ["func.first-not-0", (b) => funcs(b, [1, b.func]), -u.EINVAL],
  ["func.type", (b) => funcs(b, [0, b.int]), -u.EINVAL],
  ["func.type-outside", (b) => funcs(b, [0, 99]), -u.EINVAL],
  ["func.too-many", (b) => funcs(b, [0, b.func, 1, b.func]), -u.EINVAL],
  ["func.twice", (b) => funcs(b, [0, b.func, 0, b.func]), -u.EINVAL],
  ["func.pointer", (b) => ({ ...funcs(b, [0, b.func]), func_info: BAD }), -u.EFAULT],
  ["line", (b) => lines(b, [0, b.file, 0, 1 << 10]), 0],
  ["line.size-12", (b) => lines(b, [0, b.file, 0, 0], 12, 1), -u.EINVAL],
  ["line.tail", (b) => lines(b, [0, b.file, 0, 0, 1], 20, 1), -u.E2BIG],
  ["line.no-start", (b) => lines(b, [1, b.file, 0, 0]), -u.EINVAL],
  ["line.behind", (b) => lines(b, [0, b.file, 0, 0, 2, b.file, 0, 0]), -u.EINVAL],
  ["line.not-ascending", (b) => lines(b, [0, b.file, 0, 0, 0, b.file, 0, 0]), -u.EINVAL],
  ["line.file-outside", (b) => lines(b, [0, 9999, 0, 0]), -u.EINVAL],
  ["line.text-outside", (b) => lines(b, [0, b.file, 9999, 0]), -u.EINVAL],
  [
    "line.second-slot",
    (b) => ({ ...lines(b, [0, b.file, 0, 0, 1, b.file, 0, 0]), ...code(asm.ldImm64(R1, 5n)) }),
    -u.EINVAL,
  ],
];

test.each(infoRows)("BTF: %s", (_id, attr, result) => {
  everywhere((host, name) => withBtf(host, (btf) => expect(load(host, attr(btf)), name).toBe(result)));
});

test("an exclusive map is for the program with its hash", () => {
  everywhere((host, name) => {
    const own = createHash("sha256")
      .update(code(asm.ldMapFd(R1, 0)).insns)
      .digest();
    const exclusive = (hash: Uint8Array): number =>
      host.bpf(u.BPF_MAP_CREATE, {
        map_type: u.BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        excl_prog_hash: hash,
        excl_prog_hash_size: 32,
      });
    const right = exclusive(own);
    const wrong = exclusive(new Uint8Array(32).fill(1));
    const zero = exclusive(new Uint8Array(32));
    expect(load(host, code(asm.ldMapFd(R1, right))), name).toBe(0);
    expect(load(host, code(asm.ldMapFd(R1, wrong))), name).toBe(-u.EACCES);
    // In fd_array it is compared with a hash that is not there yet.
    const inArray = (map: number): number =>
      load(host, { ...code(asm.ldMapFd(R1, map)), fd_array: Int32Array.of(map), fd_array_cnt: 1 });
    expect([inArray(right), inArray(wrong), inArray(zero)], name).toEqual([-u.EACCES, -u.EACCES, 0]);
    expect(load(host, code(asm.ldMapFd(R1, zero))), name).toBe(-u.EACCES);
    for (const map of [right, wrong, zero]) host.close(map);
  });
});

function info(host: Host, fd: number, given = new Uint8Array(232)): { ret: number; view: DataView; length: number } {
  const attr = { bpf_fd: fd, info: given, info_len: given.length };
  const ret = host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, attr);
  return { ret, view: new DataView(given.buffer), length: attr.info_len };
}

const { fields } = u.bpf_prog_info;

test("info: type, name, tag, maps and sizes", () => {
  everywhere((host, name) => {
    withFds(host, ({ hash, single }) => {
      const items = [asm.ldMapFd(R1, hash), asm.ldMapValue(R2, single, 4), asm.mov64Imm(R0, 2), asm.exit()];
      const { fd } = loadProgram(host, items, { name: "some_name", license: "MIT" });
      const { ret, view, length } = info(host, fd);
      expect([ret, length], name).toEqual([0, 232]);
      const text = new TextDecoder().decode(new Uint8Array(view.buffer, fields.name.offset, 10));
      expect([view.getUint32(0, true), text], name).toEqual([u.BPF_PROG_TYPE_XDP, "some_name\0"]);
      expect(view.getUint8(fields.gpl_compatible.offset) & 1, name).toBe(0);
      expect(view.getUint32(fields.nr_map_ids.offset, true), name).toBe(2);
      expect(view.getUint32(fields.xlated_prog_len.offset, true), name).toBe(48);
      expect(view.getUint32(fields.func_info_rec_size.offset, true), name).toBe(8);
      expect(view.getUint32(fields.line_info_rec_size.offset, true), name).toBe(16);
      // What the tag is made of: the instructions, without fds and offsets.
      const bare = [asm.ldMapFd(R1, 0), asm.ldMapValue(R2, 0, 0), asm.mov64Imm(R0, 2), asm.exit()];
      const digest = createHash("sha256")
        .update(asm.encodeInsns(asm.assemble(bare)))
        .digest();
      expect([...new Uint8Array(view.buffer, fields.tag.offset, 8)], name).toEqual([...digest.subarray(0, 8)]);
      host.close(fd);
    });
  });
});

test("info: ids of maps and instructions as far as there is room", () => {
  everywhere((host, name) => {
    withFds(host, ({ hash, single }) => {
      const items = [asm.ldMapFd(R1, hash), asm.ldMapValue(R2, single, 4), asm.mov64Imm(R0, 2), asm.exit()];
      const { fd } = loadProgram(host, items);
      const room = host.user.alloc(256);
      const idOf = (map: number): number => info(host, map, new Uint8Array(104)).view.getUint32(4, true);
      for (const n of [1, 2, 5]) {
        room.bytes.fill(0xee);
        const given = new DataView(new ArrayBuffer(232));
        given.setUint32(fields.nr_map_ids.offset, n, true);
        given.setBigUint64(fields.map_ids.offset, room.address, true);
        given.setUint32(fields.xlated_prog_len.offset, 32, true);
        given.setBigUint64(fields.xlated_prog_insns.offset, room.address + 64n, true);
        const { view } = info(host, fd, new Uint8Array(given.buffer));
        expect(view.getUint32(fields.nr_map_ids.offset, true), name).toBe(2);
        const ids = new DataView(room.bytes.buffer, room.bytes.byteOffset, 256);
        const expected = [idOf(hash), idOf(single)].slice(0, n);
        expect(
          expected.map((_, i) => ids.getUint32(i * 4, true)),
          name,
        ).toEqual(expected);
        expect(ids.getUint32(expected.length * 4, true), name).toBe(0xeeee_eeee);
        const code = asm.decodeInsns(room.bytes.slice(64, 96));
        expect([code[0]!.imm, code[2]!.imm, code[3]!.imm], name).toEqual([idOf(hash), idOf(single), 4]);
        expect(room.bytes[96], name).toBe(0xee);
      }
      const bad = new DataView(new ArrayBuffer(232));
      bad.setUint32(fields.nr_map_ids.offset, 2, true);
      bad.setBigUint64(fields.map_ids.offset, 0x1000n, true);
      expect(info(host, fd, new Uint8Array(bad.buffer)).ret, name).toBe(-u.EFAULT);
      room.free();
      host.close(fd);
    });
  });
});

test("info: record sizes must be known ones, a tail zero", () => {
  everywhere((host, name) => {
    const { fd } = loadProgram(host, end);
    const ask = (length: number, set: (view: DataView) => void): number => {
      const given = new DataView(new ArrayBuffer(length));
      set(given);
      return info(host, fd, new Uint8Array(given.buffer)).ret;
    };
    expect(
      ask(240, () => {}),
      name,
    ).toBe(0);
    expect(
      ask(240, (v) => v.setUint8(239, 1)),
      name,
    ).toBe(-u.E2BIG);
    expect(
      ask(4097, () => {}),
      name,
    ).toBe(-u.E2BIG);
    expect(
      ask(232, (v) => v.setUint32(fields.func_info_rec_size.offset, 4, true)),
      name,
    ).toBe(-u.EINVAL);
    expect(
      ask(232, (v) => v.setUint32(fields.nr_line_info.offset, 1, true)),
      name,
    ).toBe(-u.EINVAL);
    expect(
      ask(232, (v) => v.setUint32(fields.line_info_rec_size.offset, 16, true)),
      name,
    ).toBe(0);
    host.close(fd);
  });
});

test("ids: a program is found by its id until its last reference goes", () => {
  everywhere((host, name) => {
    const { fd } = loadProgram(host, end);
    const id = info(host, fd).view.getUint32(fields.id.offset, true);
    const next = { start_id: id - 1, next_id: 0 };
    expect([host.bpf(u.BPF_PROG_GET_NEXT_ID, next), next.next_id], name).toEqual([0, id]);
    const second = host.bpf(u.BPF_PROG_GET_FD_BY_ID, { prog_id: id });
    expect(info(host, second).view.getUint32(fields.id.offset, true), name).toBe(id);
    host.close(fd);
    expect(info(host, second).ret, name).toBe(0);
    host.close(second);
    expect(host.bpf(u.BPF_PROG_GET_FD_BY_ID, { prog_id: id }), name).toBe(-u.ENOENT);
    expect(host.bpf(u.BPF_PROG_GET_FD_BY_ID, { prog_id: 0 }), name).toBe(-u.ENOENT);
    expect(host.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0x7fff_ffff }), name).toBe(-u.EINVAL);
    expect(host.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0x7fff_fffe }), name).toBe(-u.ENOENT);
  });
});

test("a program holds its maps", () => {
  everywhere((host, name) => {
    const map = host.bpf(u.BPF_MAP_CREATE, {
      map_type: u.BPF_MAP_TYPE_ARRAY,
      key_size: 4,
      value_size: 8,
      max_entries: 1,
    });
    const id = info(host, map, new Uint8Array(104)).view.getUint32(4, true);
    const { fd } = loadProgram(host, [asm.ldMapFd(R1, map), ...end]);
    host.close(map);
    const again = host.bpf(u.BPF_MAP_GET_FD_BY_ID, { map_id: id });
    expect(again, name).toBeGreaterThan(0);
    host.close(again);
    host.close(fd);
  });
});

test("streams: an empty one gives 0, whatever the buffer; another id is ENOENT", () => {
  everywhere((host, name) => {
    const { fd } = loadProgram(host, end);
    const read = (attr: AttrObject): number => host.bpf(u.BPF_PROG_STREAM_READ_BY_FD, { prog_fd: fd, ...attr });
    const buffer = { stream_buf: new Uint8Array(64), stream_buf_len: 64 };
    expect(
      [1, 2, 0, 3].map((id) => read({ ...buffer, stream_id: id })),
      name,
    ).toEqual([0, 0, -u.ENOENT, -u.ENOENT]);
    expect(read({ stream_buf: 0x1000, stream_buf_len: 10, stream_id: 2 }), name).toBe(0);
    expect(read({ ...buffer, stream_id: 3, prog_fd: 9999 }), name).toBe(-u.EBADF);
    host.close(fd);
  });
});
