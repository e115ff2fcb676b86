/** BPF_PROG_TEST_RUN of syscall programs: they work on the caller's context itself. Kernel counterpart: net/bpf/test_run.c. */
import { SYSCALL_CTX_MAX } from "../contexts/syscall.ts";
import { placeContext } from "../kern/given.ts";
import { RUN_CTX } from "../kern/run_record.ts";
import { bpf_attr, EFAULT, EINVAL, ENOMEM } from "../uapi/index.ts";
import { pointerAt, putU32 } from "./attr.ts";
import { runProgram, type TestRun, testField } from "./prog_test_data.ts";

const { test } = bpf_attr;

export function testRunSyscall(run: TestRun): number {
  const { kernel, prog, attr, uattr } = run;
  const { mem } = kernel;
  const pointers = [test.data_in, test.data_out, test.ctx_out];
  if (pointers.some((each) => pointerAt(kernel, attr + each.offset) !== 0)) return -EINVAL;
  const fields = [test.data_size_out, test.ctx_size_out, test.duration, test.repeat, test.flags, test.batch_size];
  if (fields.some((each) => testField(run, each) !== 0)) return -EINVAL;
  const size = testField(run, test.ctx_size_in);
  if (size > SYSCALL_CTX_MAX) return -EINVAL;
  const at = pointerAt(kernel, attr + test.ctx_in.offset);
  if (!kernel.userOk(at, size, false)) return -EFAULT;
  return runProgram(
    { kernel, prog, cpu: kernel.cpu, repeat: 1 },
    // A copy: what user space can change under the program's hands is no context.
    (record) => (placeContext(kernel, record, mem.u8.subarray(at, at + size)) ? 0 : -ENOMEM),
    (record, retval) => {
      if (!kernel.userOk(at, size, true)) return -EFAULT;
      mem.copy(at, mem.u32[(record + RUN_CTX) >>> 2]!, size);
      return putU32(kernel, uattr + test.retval.offset, retval);
    },
  );
}
