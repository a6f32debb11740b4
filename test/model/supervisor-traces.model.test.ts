/** Goal: the model is OTP's supervisor. Method: it reproduces every recording of one. */

import { describe, expect, it } from 'vitest';
import { comparable, readScenarios } from '../otp/trace.ts';
import { modelOutcomes } from './supervisor-model.ts';

describe('the model of a supervisor', () => {
  it('P10 reproduces every recording of OTP', () => {
    const scenarios = readScenarios();
    expect(scenarios.length).toBeGreaterThan(0);
    const wrong = scenarios.filter((scenario) => {
      const said = modelOutcomes(scenario).map((outcome) => comparable(outcome, scenario));
      const recorded = scenario.steps.map((step) => comparable(step, scenario));
      return JSON.stringify(said) !== JSON.stringify(recorded);
    });
    expect(wrong.map(({ id }) => id)).toEqual([]);
  });
});
