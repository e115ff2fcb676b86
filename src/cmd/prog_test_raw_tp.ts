/** BPF_PROG_TEST_RUN of raw tracepoint programs: the context is the arguments. Kernel counterpart: net/bpf/test_run.c. */
import { placeContext } from "../kern/given.ts";
import { BPF_F_TEST_RUN_ON_CPU, bpf_attr, EFAULT, EINVAL, ENOMEM, ENXIO } from "../uapi/index.ts";
import { pointerAt, putU32 } from "./attr.ts";
import { runProgram, type TestRun, testField } from "./prog_test_data.ts";

const { test } = bpf_attr;
/** MAX_BPF_FUNC_ARGS words. */
const CTX_MAX = 96;

export function testRunRawTp(run: TestRun): number {
  const { kernel, prog, attr, uattr } = run;
  const pointers = [test.data_in, test.data_out, test.ctx_out];
  if (pointers.some((each) => pointerAt(kernel, attr + each.offset) !== 0)) return -EINVAL;
  const fields = [
    test.data_size_in,
    test.data_size_out,
    test.ctx_size_out,
    test.duration,
    test.repeat,
    test.batch_size,
  ];
  if (fields.some((each) => testField(run, each) !== 0)) return -EINVAL;
  const size = testField(run, test.ctx_size_in);
  if (size > CTX_MAX) return -EINVAL;
  const flags = testField(run, test.flags);
  const wanted = testField(run, test.cpu);
  if ((flags & BPF_F_TEST_RUN_ON_CPU) === 0 && wanted !== 0) return -EINVAL;
  const from = pointerAt(kernel, attr + test.ctx_in.offset);
  if (!kernel.userOk(from, size, false)) return -EFAULT;
  if ((flags & ~BPF_F_TEST_RUN_ON_CPU) !== 0) return -EINVAL;
  if (wanted >= kernel.cpus) return -ENXIO;
  const cpu = flags === 0 ? kernel.cpu : wanted;
  return runProgram(
    { kernel, prog, cpu, repeat: 1 },
    (record) => (placeContext(kernel, record, kernel.mem.u8.subarray(from, from + size)) ? 0 : -ENOMEM),
    (_record, retval) => putU32(kernel, uattr + test.retval.offset, retval),
  );
}
