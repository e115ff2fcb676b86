/** BPF_BTF_LOAD of blobs that are wrong in one place: the errnos of Linux 6.18, one by one. */
import { afterAll, expect, test } from "vitest";
import { createEmbeddedHost } from "../../src/host/embedded.ts";
import type { Host } from "../../src/host/host.ts";
import * as u from "../../src/uapi/index.ts";
import { judge } from "../kernel/sides.ts";
import { kernelHost } from "../kernel.ts";
import { mutants } from "./btf_mutants.ts";

const embedded = createEmbeddedHost({ memory: 16 << 20 });
const kernel = kernelHost();

afterAll(() => {
  embedded.dispose();
  kernel?.dispose();
});

function load(host: Host, btf: Uint8Array): number {
  const fd = host.bpf(u.BPF_BTF_LOAD, { btf, btf_size: btf.length });
  if (fd >= 0) host.close(fd);
  return Math.min(fd, 0);
}

/** Sizes of ints that C does not have: known_gaps.ts. */
function sizeOfInt(name: string): boolean {
  return /^(32|80) /.test(name);
}

test("every word and name of a BTF with all kinds of types, changed", () => {
  const all = mutants().filter(({ name }) => !sizeOfInt(name));
  const answers = (host: Host): string[] => all.map(({ name, btf }) => `${name}: ${load(host, btf)}`);
  const ours = answers(embedded);
  expect(ours[0]).toBe("whole: 0");
  expect(judge(ours, kernel && answers(kernel), "1043ae04e5ccc134")).toBeUndefined();
});
