/** Tools to see inside: traces, coverage and profiles of programs that run on an embedded host. */
export {
  type BareProgramCoverage,
  Coverage,
  type CoverageOptions,
  coverageSummary,
} from "./coverage.ts";
export {
  type BranchCoverage,
  CoverageSums,
  type FileCoverage,
  type FunctionCoverage,
  type LineCoverage,
  parseLcov,
  toLcov,
} from "./lcov.ts";
export type { Observation, ObservedRun, Observer, ProgramCode, RunState } from "./observer.ts";
export { Profile, type ProfileLine, profileTable } from "./profile.ts";
export {
  type Entered,
  formatStep,
  type MemoryAccess,
  type RegisterChange,
  Trace,
  type TracedCall,
  type TraceStep,
} from "./trace.ts";
