/** Tests of BPF programs with vitest: assertions on maps, and coverage of BPF C. Needs vitest, which the package does not bring. */
export { type BpfCoverageOptions, bpfCoverage } from "./coverage.ts";
export { type ContentsOf, expectMap, type MapAssertion } from "./expect_map.ts";
