/**
 * BPF_PROG_TEST_RUN of struct_ops programs: those of struct bpf_dummy_ops, whose callbacks are for this alone. The context
 * is the arguments, one u64 each; the first leads to a struct bpf_dummy_ops_state of the caller's, which the program sees
 * a copy of and which gets what it left. Kernel counterpart: net/bpf/bpf_dummy_struct_ops.c.
 */
import type { Btf, BtfFuncProto } from "../btf/index.ts";
import { kernelBtfOf } from "../helpers/kernel_btf.ts";
import { placeContext, placeMemory, takeMemoryBack } from "../kern/given.ts";
import type { Kernel } from "../kern/kernel.ts";
import { PROG_ATTACH_BTF_ID, PROG_ATTACH_TYPE } from "../kern/prog.ts";
import type { GivenMemory } from "../kern/scene.ts";
import { bpf_attr, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP } from "../uapi/index.ts";
import { pointerAt, pointerIn, putU32 } from "./attr.ts";
import { runProgram, type TestRun, testField } from "./prog_test_data.ts";

type BtfParam = BtfFuncProto["params"][number];

const { test } = bpf_attr;
const OPS = "bpf_dummy_ops";
const WORD = 8;
const STATE_SIZE = 4;
/** Where the copy of the state is for the program. */
const STATE_AT = 0xffff_8880_0001_3000n;

export function testRunStructOps(run: TestRun): number {
  const { kernel, prog, attr, uattr } = run;
  const { mem } = kernel;
  const params = dummyParams(kernel, prog);
  if (params === undefined) return -EOPNOTSUPP;
  const size = testField(run, test.ctx_size_in);
  if (size !== params.length * WORD) return -EINVAL;
  const from = pointerAt(kernel, attr + test.ctx_in.offset);
  if (!kernel.userOk(from, size, false)) return -EFAULT;
  const args = mem.u8.slice(from, from + size);
  const view = new DataView(args.buffer);
  const state = pointerIn(view, 0);
  if (state !== 0 && !kernel.userOk(state, STATE_SIZE, false)) return -EFAULT;
  if (params.some((nullable, i) => !nullable && view.getBigUint64(i * WORD, true) === 0n)) return -EINVAL;
  const memory: GivenMemory[] = [];
  if (state !== 0) {
    memory.push({ address: STATE_AT, bytes: mem.u8.slice(state, state + STATE_SIZE), writable: true });
    view.setBigUint64(0, STATE_AT, true);
  }
  try {
    return runProgram(
      { kernel, prog, cpu: kernel.cpu, repeat: 1 },
      (record) => (placeMemory(kernel, record, memory) && placeContext(kernel, record, args) ? 0 : -ENOMEM),
      (_record, retval) => {
        takeMemoryBack(kernel, memory);
        for (const { bytes } of memory) {
          if (!kernel.userOk(state, STATE_SIZE, true)) return -EFAULT;
          mem.u8.set(bytes, state);
        }
        return putU32(kernel, uattr + test.retval.offset, retval);
      },
    );
  } finally {
    kernel.scene.placed = [];
  }
}

/** Of each parameter of the callback that the program is, whether it may be 0; undefined: it is no member of that struct. */
function dummyParams(kernel: Kernel, prog: number): readonly boolean[] | undefined {
  const { u32 } = kernel.mem;
  const btf = kernelBtfOf(kernel);
  const ops = u32[(prog + PROG_ATTACH_BTF_ID) >>> 2]!;
  const type = btf.type(ops);
  if (type.kind !== "struct" || ops !== btf.find(OPS, "struct")) return undefined;
  // Loading has looked that it is a pointer to a function.
  const { name, typeId } = type.members[u32[(prog + PROG_ATTACH_TYPE) >>> 2]!]!;
  const nullable = nullableParams(btf, `${OPS}__${name}`);
  return paramsOf(btf, pointee(btf, typeId)).map((param, i) => !isPointer(btf, param) || nullable.has(i));
}

/** The kernel marks pointers that may be NULL by the names in a function that stands for the callback. */
function nullableParams(btf: Btf, stub: string): ReadonlySet<number> {
  const id = btf.find(stub, "func");
  const type = id === undefined ? undefined : btf.type(id);
  const params = type?.kind === "func" ? paramsOf(btf, type.typeId) : [];
  return new Set(params.flatMap(({ name }, i) => (name.endsWith("__nullable") ? [i] : [])));
}

function paramsOf(btf: Btf, id: number): readonly BtfParam[] {
  const type = btf.type(id);
  return type.kind === "func_proto" ? type.params : [];
}

function pointee(btf: Btf, id: number): number {
  const type = btf.type(btf.resolve(id));
  return type.kind === "ptr" ? type.typeId : 0;
}

function isPointer(btf: Btf, { typeId }: BtfParam): boolean {
  return btf.type(btf.resolve(typeId)).kind === "ptr";
}
