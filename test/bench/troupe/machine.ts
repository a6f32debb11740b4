/**
 * A machine as an agent and in xstate's own actor, in one process and by turns, so that both meet the same heap: an actor alone handles each
 * event within `send`, keeps nothing alive, and runs in a heap that fits into the processor's cache. A sender outside tells the agent
 * 1,000 events and waits until they are handled.
 */

import { setImmediate as macrotask } from 'node:timers/promises';
import { createSystem, protocol, tell, type } from 'troupe';
import { createActor } from 'xstate';
import { machineAgent } from '../../../adapters/xstate/index.ts';
import { turnstile } from '../turnstile.ts';
import type { MachineResult } from '../xstate.ts';

const WINDOW = 1_000;
const WINDOWS = 200;
const WARM_UP_ROUNDS = 2;
const ROUNDS = 5;

const handled = { xstate: 0, troupe: 0 };
let sent = 0;

const actor = createActor(
  turnstile(() => {
    handled.xstate++;
  }),
);
actor.start();

const Turnstile = protocol('turnstile', { coin: tell(type<{ value: number }>()), push: tell() });
const machine = turnstile(() => {
  handled.troupe++;
});
const system = await createSystem({ name: 'bench' });
const ref = await system.spawn(machineAgent(Turnstile, machine, {}));

async function xstateWindow(): Promise<void> {
  for (let value = 1; value <= WINDOW; value += 2) {
    actor.send({ type: 'coin', value });
    actor.send({ type: 'push' });
  }
  await macrotask();
}

async function troupeWindow(): Promise<void> {
  const until = handled.troupe + WINDOW;
  for (let value = 1; value <= WINDOW; value += 2) {
    ref.tell('coin', { value });
    ref.tell('push');
  }
  while (handled.troupe < until) await macrotask();
}

/** Events for each second of processor time. */
async function rate(window: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  for (let index = 0; index < WINDOWS; index++) await window();
  const { user, system: kernel } = process.cpuUsage(before);
  return (WINDOW * WINDOWS * 1_000_000) / (user + kernel);
}

const xstate: number[] = [];
const troupe: number[] = [];
for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
  const rates = [await rate(xstateWindow), await rate(troupeWindow)] as const;
  sent += WINDOW * WINDOWS;
  if (round < WARM_UP_ROUNDS) continue;
  xstate.push(rates[0]);
  troupe.push(rates[1]);
}
const result: MachineResult = { xstate, troupe, sent, handled };
process.stdout.write(JSON.stringify(result), () => process.exit(0));
