/** Files share their modules when mutants run, so what these modules do after each test has to be told to every file. */

import { afterEach } from 'vitest';
import { endKitSystems } from '../support/kit-system.ts';
import { endMetrics } from '../support/metrics.ts';
import { endBuses } from '../support/test-bus.ts';
import { endTestSystems } from '../support/test-system.ts';
import { endTraces } from '../support/traces.ts';

afterEach(endTraces);
afterEach(endMetrics);
afterEach(endBuses);
afterEach(endTestSystems);
afterEach(endKitSystems);
