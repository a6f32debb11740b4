/** The test kit: a system on virtual time that replays by its seed, probes, faults by plan, and a checker of the runtime's laws. */

export { type Exploration, type ExploreOptions, explore } from '../runtime/testing/explore.ts';
export type { Fault, FaultDeed, FaultOptions, FaultPoint } from '../runtime/testing/fault-plan.ts';
export type { AsymmetricMatcher, Expected, Matcher } from '../runtime/testing/matcher.ts';
export type { ExpectNoneOptions, ExpectOptions, Probe, Received, Reply } from '../runtime/testing/probe.ts';
export {
  createTestSystem,
  type ProbeOptions,
  type TestSystem,
  type TestSystemOptions,
} from '../runtime/testing/test-system.ts';
export { withTestSystem } from '../runtime/testing/with-test-system.ts';
