/**
 * Goal: our supervisor is Erlang/OTP's, hook by hook. Method: every recorded scenario is played through the public API;
 * hooks, results, children and status must be the recorded ones after each event. `OTP_TRACES=file` plays another recording.
 */

import { describe, expect, it } from 'vitest';
import { replay } from './replay.ts';
import { comparable, readScenarios } from './trace.ts';

const scenarios = readScenarios();

describe('the recordings of OTP', () => {
  it('are there', () => {
    expect(scenarios.length).toBeGreaterThan(0);
  });

  it.each(scenarios.map((scenario) => [scenario.id, scenario.strategy, scenario] as const))(
    'P10 scenario %i (%s) is reproduced',
    async (_id, _strategy, scenario) => {
      const outcomes = await replay(scenario);
      expect(outcomes.map((outcome) => comparable(outcome, scenario))).toEqual(
        scenario.steps.map((step) => comparable(step, scenario)),
      );
    },
  );
});
