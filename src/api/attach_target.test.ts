/** Targets that are named by a type. What the machine lets us load is loaded; nothing is attached. */
import { expect, test } from "vitest";
import { buildElf } from "../../test/fixtures/bpf/elf_builder.ts";
import { onEachHost } from "../../test/hosts.ts";
import { parseObject } from "../elf/index.ts";
import * as asm from "../insn/index.ts";
import { EPERM } from "../uapi/index.ts";
import { attachTarget } from "./attach_target.ts";
import type { BpfHost } from "./bpf_host.ts";
import { HostContext } from "./context.ts";
import { BpfError } from "./error.ts";

const path = (name: string): URL => new URL(`../../test/fixtures/bpf/${name}.bpf.o`, import.meta.url);
/** An object whose one program is in this section and returns a number. */
const objectOf = (section: string, result = 0): Uint8Array =>
  buildElf(
    [
      { name: section, data: [asm.mov64Imm(asm.R0, result), asm.exit()] },
      { name: "license", data: new TextEncoder().encode("GPL\0") },
    ],
    [{ name: "main", section, size: 16 }],
  );

/** Kinds of programs that a sandbox may not allow at all are not the loader's matter. */
function loads(load: () => void): void {
  try {
    load();
  } catch (error) {
    if (!(error instanceof BpfError) || error.errno !== EPERM) throw error;
  }
}

function targetName(host: BpfHost, section: string): string | undefined {
  const spec = parseObject(objectOf(section));
  const target = attachTarget(new HostContext(host), spec, spec.programs[0]!);
  return target && host.kernelBtf()!.btf.type(target.attachBtfId).name;
}

onEachHost((host) => {
  test("programs that are attached otherwise have none", () => {
    for (const section of ["xdp", "kprobe/do_exit", "tracepoint/a/b"])
      expect(targetName(host, section)).toBeUndefined();
  });

  if (host.kind === "kernel") {
    test.each([
      ["fentry/bpf_fentry_test1", "bpf_fentry_test1"],
      ["fexit.s/bpf_fentry_test1", "bpf_fentry_test1"],
      ["fmod_ret/bpf_modify_return_test", "bpf_modify_return_test"],
      ["tp_btf/sched_switch", "btf_trace_sched_switch"],
      ["lsm/file_open", "bpf_lsm_file_open"],
      ["lsm.s/file_open", "bpf_lsm_file_open"],
      ["lsm_cgroup/socket_bind", "bpf_lsm_socket_bind"],
      ["iter/bpf_map_elem", "bpf_iter_bpf_map_elem"],
      ["iter.s/task", "bpf_iter_task"],
    ])("%s", (section, name) => {
      expect(targetName(host, section)).toBe(name);
      loads(() => host.loadObject(objectOf(section)).close());
    });

    test("sections without a target are kinds of programs that the kernel takes", () => {
      const names =
        "socket xdp xdp.frags xdp/devmap xdp.frags/devmap xdp/cpumap xdp.frags/cpumap tc classifier action tc/ingress " +
        "tc/egress tcx/ingress tcx/egress netkit/primary netkit/peer kprobe/x kretprobe/x uprobe uprobe.s uretprobe " +
        "kprobe.multi/x kretprobe.multi/x kprobe.session/x uprobe.multi uprobe.multi.s uretprobe.multi uprobe.session " +
        "ksyscall/x kretsyscall/x usdt usdt.s tracepoint/a/b tp/a/b raw_tracepoint/x raw_tp/x raw_tp.w/x syscall " +
        "perf_event lwt_in lwt_out lwt_xmit lwt_seg6local sockops sk_skb sk_skb/stream_parser sk_skb/stream_verdict " +
        "sk_skb/verdict sk_msg sk_lookup sk_reuseport sk_reuseport/migrate flow_dissector netfilter cgroup_skb/ingress " +
        "cgroup_skb/egress cgroup/skb cgroup/sock cgroup/sock_create cgroup/sock_release cgroup/post_bind4 " +
        "cgroup/post_bind6 cgroup/bind4 cgroup/bind6 cgroup/connect4 cgroup/connect6 cgroup/connect_unix " +
        "cgroup/sendmsg4 cgroup/sendmsg6 cgroup/sendmsg_unix cgroup/recvmsg4 cgroup/recvmsg6 cgroup/recvmsg_unix " +
        "cgroup/getpeername4 cgroup/getpeername6 cgroup/getpeername_unix cgroup/getsockname4 cgroup/getsockname6 " +
        "cgroup/getsockname_unix cgroup/sysctl cgroup/getsockopt cgroup/setsockopt cgroup/dev";
      const refused = names.split(" ").filter((section) => {
        // Some may only return 1, and some only 0.
        const results = [1, 0].map((result) => {
          try {
            host.loadObject(objectOf(section, result)).close();
            return true;
          } catch (error) {
            if (error instanceof BpfError) return false;
            throw error;
          }
        });
        return !results.includes(true);
      });
      expect(refused).toEqual([]);
    });

    test("struct_ops: programs by member, the map with the kernel's value; nothing is registered", () => {
      const object = host.loadObject(path("struct_ops"));
      expect([...object.maps.keys()]).toEqual(["linked"]);
      expect([...object.programs.keys()]).toEqual(["fixed_ssthresh", "fixed_undo", "fixed_avoid"]);
      expect(object.map("linked").info.type).toBe("struct_ops");
      expect(object.map("linked").info.valueSize).toBeGreaterThan(48);
      object.close();
    });

    test("freplace: of a function of a loaded program", () => {
      const target = host.loadObject(path("calls"), { programs: ["use_leaf"] });
      const load = (name: string) => (): void =>
        host
          .loadObject(objectOf(`freplace/${name}`), {
            edit: (spec) => {
              for (const program of spec.programs) program.attachProgFd = target.program("use_leaf").fd;
            },
          })
          .close();
      try {
        expect(load("no_such_function")).toThrow(/has no function no_such_function/);
        loads(load("use_leaf"));
      } finally {
        target.close();
      }
    });
  }

  test("what there is no target for", () => {
    const load = (section: string) => (): void => host.loadObject(objectOf(section)).close();
    expect(load("fentry/there_is_no_such_function")).toThrow(
      /program main: found no func there_is_no_such_function in the kernel's BTF/,
    );
    expect(load("tp_btf/no_such_tracepoint")).toThrow(/found no typedef btf_trace_no_such_tracepoint/);
    expect(load("lsm")).toThrow(/program main: section `lsm` names no target; set `attachTo`/);
    expect(load("freplace/x")).toThrow(/it replaces x of another program; set `attachProgFd`/);
    expect(load("struct_ops/x")).toThrow(/no struct_ops map has it as a member/);
    if (host.kind === "embedded") {
      expect(load("fentry/vfs_read")).toThrow(/give the host a kernel's types: createEmbedded\(\{ kernelBtf/);
      expect(() => host.loadObject(path("struct_ops"))).toThrow(/struct tcp_congestion_ops is none that programs/);
    }
  });
});
