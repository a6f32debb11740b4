/** A system of the public test kit that is checked and shut down at the end of the test. */

import { createTestSystem, type TestSystem, type TestSystemOptions } from 'troupe/testing';
import { afterEach } from 'vitest';
import type { AnySupervisor, RefsOf } from '../../src/protocol/child-spec.ts';

const started: { [Symbol.asyncDispose](): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of started.splice(0)) await each[Symbol.asyncDispose]();
});

/** Starts one. (`await using` would do the same; the syntax is beyond a tool of the gate.) */
export async function kitSystem<Root extends AnySupervisor = never>(
  options?: TestSystemOptions<Root>,
): Promise<TestSystem<[Root] extends [never] ? Record<never, never> : RefsOf<Root>>> {
  const system = await createTestSystem<Root>(options);
  started.push(system);
  return system;
}
