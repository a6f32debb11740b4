/** A test body with a system of its own: the shortest way to a failure that names its seed. */

import type { AnySupervisor } from '../../src/protocol/child-spec.ts';
import { isTroupeError } from '../../src/protocol/errors.ts';
import { functionOption } from '../../src/protocol/options.ts';
import { createTestSystem, type RefsOrNone, type TestSystem, type TestSystemOptions } from './test-system.ts';

/**
 * Runs `body` with a test system, then checks it and shuts it down. What `body` throws is thrown on, with the seed added to
 * its message; that goes before anything the checker finds.
 */
export async function withTestSystem<Root extends AnySupervisor = never>(
  options: TestSystemOptions<Root>,
  body: (system: TestSystem<RefsOrNone<Root>>) => unknown,
): Promise<void> {
  functionOption('body', body ?? null);
  const system = await createTestSystem<Root>(options);
  let failure: { readonly error: unknown } | undefined;
  try {
    await body(system);
  } catch (error) {
    failure = { error: withSeed(error, system.seed) };
  }
  try {
    await system[Symbol.asyncDispose]();
  } catch (error) {
    failure ??= { error };
  }
  if (failure !== undefined) throw failure.error;
}

/** The same error, so that a runner still shows what it knows of it; its message names the seed. */
function withSeed(error: unknown, seed: number): unknown {
  if (error instanceof Error && !isTroupeError(error, 'ERR_TEST_FAILED') && !Object.isFrozen(error))
    error.message = `${error.message}\n(TROUPE_SEED=${seed} replays it)`;
  return error;
}
