/** A system of the public test kit that is checked and shut down at the end of the test. */

import { createTestSystem, type TestSystem, type TestSystemOptions } from 'troupe/testing';
import { afterEach } from 'vitest';
import type { AnySupervisor, RefsOf } from '../../src/protocol/child-spec.ts';

const started: { [Symbol.asyncDispose](): Promise<void> }[] = [];

/** Checks and ends the systems that the test started; for the tests of a file that imports this one first, by itself. */
export async function endKitSystems(): Promise<void> {
  for (const each of started.splice(0)) await each[Symbol.asyncDispose]();
}

afterEach(endKitSystems);

/** Starts one. (`await using` would do the same; the syntax is beyond a tool of the gate.) */
export async function kitSystem<Root extends AnySupervisor = never>(
  options?: TestSystemOptions<Root>,
): Promise<TestSystem<[Root] extends [never] ? Record<never, never> : RefsOf<Root>>> {
  const system = await createTestSystem<Root>(options);
  started.push(system);
  return system;
}
