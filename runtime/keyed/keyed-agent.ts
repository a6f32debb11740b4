/** A user's agent as it is run for keys: its `state` gets the key, begins when the actor before it has ended, and goes on from what was kept. */

import type { AnyAgentDefinition } from '../../src/protocol/agent.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { KILL_GRACE_MS, TIMER_MS_MAX } from '../../src/protocol/limits.ts';
import type { Behaviour } from '../actor/behaviour.ts';
import { Cell } from '../actor/cell.ts';
import type { TurnContext } from '../actor/context.ts';
import type { Slot } from '../actor/slot.ts';
import type { Activation } from './activation.ts';
import type { KeyedSettings } from './options.ts';

/** The actor of a key whose state is kept. */
class KeptCell extends Cell {
  protected override handled(envelope: Envelope): void {
    activationOf(this).snapshot?.take(this.state);
    super.handled(envelope);
  }
}

/** The agent of a group. */
export function keyedAgent(agent: AnyAgentDefinition, settings: KeyedSettings): AnyAgentDefinition {
  const { options } = agent;
  const { startTimeoutMs } = options;
  const isKept = settings.states !== undefined;
  return Object.freeze({
    ...agent,
    ...(isKept ? { cellOf: (behaviour: Behaviour, slot: Slot) => new KeptCell(behaviour, slot) } : {}),
    options: Object.freeze({
      ...options,
      startTimeoutMs: Math.min(TIMER_MS_MAX, startTimeoutMs + settings.handOffMs + KILL_GRACE_MS),
      state: stateOf(options.state),
      onStop: isKept ? keptOnStop(options.onStop) : options.onStop,
    }),
  });
}

type State = AnyAgentDefinition['options']['state'];
type OnStop = AnyAgentDefinition['options']['onStop'];

function stateOf(state: State): State {
  const fresh = (activation: Activation, ctx: unknown): unknown => state?.({ key: activation.key }, ctx);
  const kept = async (activation: Activation, ctx: unknown): Promise<unknown> => {
    await activation.predecessorEnded();
    const found = await activation.snapshot?.load();
    return found === undefined ? fresh(activation, ctx) : found.state;
  };
  return (args, ctx) => {
    const activation = args as Activation; // what its place gives
    const isAtOnce = !activation.hasPredecessor && activation.snapshot === undefined;
    return isAtOnce ? fresh(activation, ctx) : kept(activation, ctx);
  };
}

/** What ticks and hooks have changed since the last message is kept as well. */
function keptOnStop(onStop: OnStop): OnStop {
  return async (ctx, reason) => {
    const cell = (ctx as TurnContext).cell as Cell; // what hooks get, of an actor that is a cell
    try {
      await onStop?.(ctx, reason);
    } finally {
      const { snapshot } = activationOf(cell);
      snapshot?.take(cell.state);
      await snapshot?.settled();
    }
  };
}

/** What the place of a keyed actor has as its arguments. */
function activationOf(cell: Cell): Activation {
  return cell.slot.args as Activation;
}
