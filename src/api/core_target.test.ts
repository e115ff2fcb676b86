/** CO-RE on every host: what an object is relocated against, and what is said when that lacks something. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { onEachEngine } from "../../test/hosts.ts";
import { kernelHost } from "../../test/kernel.ts";
import { BtfBuilder, parseBtf } from "../btf/index.ts";
import { type ArrayMap, BpfError, createEmbedded, InputError, type LoadedObject, openKernel } from "../index.ts";

const file = readFileSync(new URL("../../test/programs/core_facts.bpf.o", import.meta.url));
const packet = { data: new Uint8Array(64) };

/** A kernel of our own making, with what `guarded` asks for. */
function target(): Uint8Array {
  const b = new BtfBuilder();
  const u32 = b.int("unsigned int", 4);
  b.struct("task_struct", 640, [{ name: "__state", typeId: u32, bitOffset: 600 * 8 }]);
  return b.build();
}

const fact = (object: LoadedObject, index: number): bigint => (object.map("facts") as ArrayMap<bigint>).get(index)!;

function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

onEachEngine((host) => {
  test("a BTF that is given, as bytes or parsed", () => {
    for (const targetBtf of [target(), parseBtf(target())]) {
      const object = host.loadObject(file, { name: "core_facts", programs: ["guarded"], targetBtf });
      object.program("guarded").run(packet);
      expect([30, 31, 32, 33].map((index) => fact(object, index))).toEqual([600n, 1n, 0n, 0n]);
      // What the file says stays as it was.
      expect(object.spec.programs.find(({ name }) => name === "guarded")!.coreRelos.length).toBeGreaterThan(5);
      object.close();
    }
  });

  test("the object's own types", () => {
    const object = host.loadObject(file, { name: "core_facts", programs: ["guarded"], targetBtf: "self" });
    object.program("guarded").run(packet);
    expect([30, 31, 32, 33].map((index) => fact(object, index))).toEqual([0n, 2n, 0n, 78n]);
    object.close();
  });

  test("what the target lacks: program, instruction, line, access and what is missing", () => {
    const error = thrown(() => host.loadObject(file, { programs: ["unguarded"], targetBtf: target() })) as BpfError;
    expect(error).toBeInstanceOf(BpfError);
    expect(error.code).toBe("EINVAL");
    expect(error.message.split("\n")).toEqual([
      "xdp program `unguarded` was refused",
      "  BPF_PROG_LOAD: EINVAL",
      expect.stringMatching(/^ {2}\| instruction \d+$/),
      expect.stringMatching(
        /^ {2}\| .*core_facts\.bpf\.c:\d+:\d+: note\(34, bpf_core_field_offset\(gone->member\)\);$/,
      ),
      "  | CO-RE: field_byte_offset of struct gone_since.member (0:0)",
      "  | the target BTF does not have it: it has no struct gone_since",
    ]);
    expect(error.log).toContain("unknown#195896080");
  });

  test("a member that is not there, or is something else there", () => {
    const b = new BtfBuilder();
    const ptr = b.ptr(0);
    b.struct("gone_since", 8, [{ name: "other", typeId: ptr, bitOffset: 0 }]);
    const other = (bytes: Uint8Array): string =>
      String(thrown(() => host.loadObject(file, { programs: ["unguarded"], targetBtf: bytes })));
    expect(other(b.build())).toContain("does not have it: struct gone_since has no member member");
    b.struct("gone_since", 8, [{ name: "member", typeId: ptr, bitOffset: 0 }]);
    expect(other(b.build())).toContain("does not have it: member member of struct gone_since is a pointer and not int");
  });

  test("a target that is broken, of the other byte order, or ambiguous, and the host is as it was", () => {
    const attempt = (targetBtf: Uint8Array): unknown => thrown(() => host.loadObject(file, { targetBtf }));
    for (const bytes of [new Uint8Array(0), target().subarray(0, 40), new Uint8Array(1000), file]) {
      const error = attempt(bytes);
      expect(error).toBeInstanceOf(InputError);
      expect(String(error)).toMatch(/loadObject: targetBtf: BTF: /);
    }
    expect(String(attempt(new BtfBuilder({ littleEndian: false }).build()))).toMatch(/other byte order/);
    const twice = new BtfBuilder();
    const int = twice.int("int", 4, { signed: true });
    for (const bitOffset of [0, 64]) twice.struct("task_struct", 64, [{ name: "pid", typeId: int, bitOffset }]);
    expect(String(attempt(twice.build()))).toMatch(
      /InputError: CO-RE: program fields, instruction \d+: .*task->pid.*: field_byte_offset of struct task_struct\.pid \(0:1\): the target has struct task_struct more than once/,
    );
    expect(host.leaks()).toEqual([]);
  });

  test("relocations can be edited", () => {
    const object = host.loadObject(file, {
      programs: ["unguarded"],
      targetBtf: target(),
      edit: (spec) => {
        for (const program of spec.programs) program.coreRelos = [];
      },
    });
    object.program("unguarded").run(packet);
    expect(fact(object, 34)).toBe(0n);
    object.close();
    const withoutBtf = (): unknown =>
      host.loadObject(file, {
        programs: ["unguarded"],
        edit: (spec) => {
          delete spec.btf;
        },
      });
    expect(String(thrown(withoutBtf))).toMatch(/program unguarded: found CO-RE relocations without BTF/);
  });
});

describe("the kernel's BTF", () => {
  test("an embedded host without one says how to give one", () => {
    const host = createEmbedded({ seed: 1, memory: 16 * 1024 * 1024 });
    expect(host.kernelBtf()?.complete).toBe(false);
    expect(String(thrown(() => host.loadObject(file)))).toMatch(
      /^InputError: program fields, instruction \d+: .*: found a CO-RE relocation \(field_byte_offset of struct task_struct\.pid \(0:1\)\), but this host has no types of a kernel: give loadObject `targetBtf`/,
    );
    // Types and enums alone are questions that it can answer: it has none of them.
    const types = (): unknown => host.loadObject(file, { programs: ["types"] });
    expect(String(thrown(types))).toMatch(/it has no enum bpf_map_type\n.*this host has no types of a kernel: give/);
    expect(host.leaks()).toEqual([]);
    host.close();
  });

  test.each([false, true])("an embedded host that was given one, shared %s", (shared) => {
    const host = createEmbedded({ seed: 1, memory: 16 * 1024 * 1024, shared, kernelBtf: target() });
    expect(host.kernelBtf()).toMatchObject({ complete: true });
    expect(host.kernelBtf()?.btf.findType("task_struct", "struct")?.size).toBe(640);
    const object = host.loadObject(file, { name: "core_facts", programs: ["guarded"] });
    object.program("guarded").run(packet);
    expect(fact(object, 30)).toBe(600n);
    object.close();
    host.close();
  });

  test("a broken one is refused when the host is made", () => {
    expect(() => createEmbedded({ kernelBtf: target().subarray(0, 30) })).toThrow(InputError);
    const b = new BtfBuilder();
    for (let i = 0; i < 60_000; i++) b.struct(`s${i}`, 0, []);
    expect(() => createEmbedded({ memory: 1024 * 1024, kernelBtf: b.build() })).toThrow(/more `memory`/);
  });

  const kernel = kernelHost();
  const types = kernel?.kernelBtf();
  kernel?.dispose();
  test.runIf(types !== undefined)(
    "the kernel host has the running kernel's: questions are answered, all is quick",
    () => {
      const host = openKernel();
      const begin = process.cpuUsage();
      const object = host.loadObject(file, { name: "core_facts" });
      expect(process.cpuUsage(begin).user).toBeLessThan(5_000_000);
      for (const name of ["fields", "types", "guarded"]) object.program(name).run(packet);
      expect(fact(object, 0)).toBeGreaterThan(0n);
      expect(fact(object, 25)).toBe(BigInt(host.kernelBtf()!.btf.find("list_head", "struct")!));
      object.close();
      host.close();
    },
  );
});
