/** BPF_PROG_TEST_RUN of flow dissectors: the packet goes in, the flow keys come out. Kernel counterpart: net/bpf/test_run.c. */
import { clampFlow, flowKeysOf, prepareFlow, resetFlow } from "../contexts/flow_dissector.ts";
import { ETH_HLEN } from "../helpers/skb_headers.ts";
import { bpf_attr, bpf_flow_keys, EFAULT, EINVAL, ENOMEM } from "../uapi/index.ts";
import { pointerAt } from "./attr.ts";
import { giveContext, giveResult, repeatRun, type TestRun, takeContext, testField } from "./prog_test_data.ts";

const { test } = bpf_attr;
const { flags: flagsField } = bpf_flow_keys.fields;
const SIZE_MAX = 4096;

export function testRunFlow(run: TestRun): number {
  const { kernel, attr } = run;
  if (testField(run, test.flags) !== 0) return -EINVAL;
  if (testField(run, test.cpu) !== 0 || testField(run, test.batch_size) !== 0) return -EINVAL;
  const size = testField(run, test.data_size_in);
  if (size < ETH_HLEN || size > SIZE_MAX) return -EINVAL;
  const from = pointerAt(kernel, attr + test.data_in.offset);
  if (!kernel.userOk(from, size, false)) return -EFAULT;
  const context = takeContext(run, bpf_flow_keys.size);
  if (typeof context === "number") return context;
  const flags = context?.getUint32(flagsField.offset, true) ?? 0;
  if (context !== undefined && !onlyFlags(context)) return -EINVAL;
  return repeatRun(
    run,
    () => (prepareFlow(kernel, from, size, flags) ? 0 : -ENOMEM),
    (_record, retval, duration) => {
      clampFlow(kernel);
      const data = flowKeysOf(kernel);
      const ret = giveResult(run, { retval, duration, data, linear: bpf_flow_keys.size, frags: 0, fragsSize: 0 });
      return ret === 0 ? giveContext(run, context) : ret;
    },
    () => resetFlow(kernel, flags),
  );
}

function onlyFlags(context: DataView): boolean {
  const rest = new Uint8Array(context.buffer.slice(0));
  rest.fill(0, flagsField.offset, flagsField.offset + flagsField.size);
  return rest.every((byte) => byte === 0);
}
