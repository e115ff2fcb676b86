/** BPF_PROG_TEST_RUN of sk_lookup programs: a struct bpf_sk_lookup says what arrives. Kernel counterpart: net/bpf/test_run.c. */
import { placeContext } from "../kern/given.ts";
import { AF_INET, AF_INET6, bpf_attr, bpf_sk_lookup, EAFNOSUPPORT, EINVAL, ENOMEM, ERANGE } from "../uapi/index.ts";
import { pointerAt } from "./attr.ts";
import { giveContext, giveResult, runProgram, type TestRun, takeContext, testField } from "./prog_test_data.ts";

const { test } = bpf_attr;
const { fields, size: SIZE } = bpf_sk_lookup;
const PORT_MAX = 0xffff;

export function testRunSkLookup(run: TestRun): number {
  const { kernel, prog, attr } = run;
  if (testField(run, test.flags) !== 0 || testField(run, test.cpu) !== 0 || testField(run, test.batch_size) !== 0) {
    return -EINVAL;
  }
  const pointers = [test.data_in, test.data_out];
  if (pointers.some((each) => pointerAt(kernel, attr + each.offset) !== 0)) return -EINVAL;
  if (testField(run, test.data_size_in) !== 0 || testField(run, test.data_size_out) !== 0) return -EINVAL;
  const ctx = takeContext(run, SIZE);
  if (ctx === undefined) return -EINVAL;
  if (typeof ctx === "number") return ctx;
  const bad = contextBad(ctx);
  if (bad !== 0) return bad;
  const repeat = Math.max(testField(run, test.repeat), 1);
  return runProgram(
    { kernel, prog, cpu: kernel.cpu, repeat },
    (record) => (placeContext(kernel, record, new Uint8Array(ctx.buffer)) ? 0 : -ENOMEM),
    (_record, retval, duration) => {
      const given = giveContext(run, ctx);
      const result = { retval, duration, data: 0, linear: 0, frags: 0, fragsSize: 0 };
      return giveResult(run, result) || given;
    },
  );
}

function contextBad(ctx: DataView): number {
  const word = ({ offset }: { readonly offset: number }): number => ctx.getUint32(offset, true);
  if (ctx.getBigUint64(fields.sk.offset, true) !== 0n) return -EINVAL;
  for (let at = fields.ingress_ifindex.offset; at < SIZE; at++) if (ctx.getUint8(at) !== 0) return -EINVAL;
  if (word(fields.local_port) > PORT_MAX) return -ERANGE;
  const family = word(fields.family);
  return family === AF_INET || family === AF_INET6 ? 0 : -EAFNOSUPPORT;
}
