/** Attributes of MAP_CREATE with one to three changes: mostly wrong, each in a way of its own. */
import type { RandomAttr } from "./op.ts";

/** Sizes and numbers where something ends, but not the largest value of an array: there memory decides. */
const edges = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 255, 260, 261, 4095, 4096, 4097, 8192, 32768, 32769, 65536];
const hugeEdges = [0x8000_0000, 0x8000_0001, 0xffff_fff8, 0xffff_ffff];
/** Nothing between what fits and what is refused at once: a machine's memory must not decide. */
const entries = [0, 1, 3, 7, 4095, 4096, 4097];
const names = ["a-b", "x".repeat(15), "x".repeat(16), "ok", "a b", "."];
const NOT_OPEN = 4000;

export function mutated(good: Record<string, number | string>, random: (n: number) => number): RandomAttr {
  const attr = good;
  const pick = <T>(from: readonly T[]): T => from[random(from.length)]!;
  const edge = (): number => (random(100) < 15 ? pick(hugeEdges) : pick(edges));
  for (let n = 1 + random(3); n > 0; n--) {
    switch (random(9)) {
      case 0:
        attr.key_size = edge();
        break;
      case 1:
        attr.value_size = edge();
        break;
      case 2:
        attr.max_entries = pick(entries);
        break;
      case 3:
      case 4:
        attr.map_flags = (Number(attr.map_flags) ^ (1 << random(32))) >>> 0;
        break;
      case 5:
        attr.map_extra = pick([1, 15, 16, 4096]);
        break;
      case 6:
        attr.map_name = pick(names);
        break;
      case 7:
        attr.btf_key_type_id = random(2);
        attr.btf_value_type_id = random(2);
        attr.btf_fd = NOT_OPEN;
        break;
      default:
        attr.map_token_fd = NOT_OPEN;
        attr.numa_node = pick([0, 5000, 0xffff_ffff]);
        break;
    }
  }
  // The values of 100 maps of 4 MiB are no test.
  if (Number(attr.value_size) > 4096 || Number(attr.key_size) > 4096)
    attr.max_entries = Math.min(Number(attr.max_entries), 3);
  // An fd of 0 could be anything of this process.
  attr.map_token_fd ??= NOT_OPEN;
  return attr;
}
