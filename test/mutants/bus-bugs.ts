/** Bugs of a bus above a broker: what every broker is held to through a bus must notice each. */

import type { PlantedBug } from './planted-bug.ts';

const tests = ['test/contract/memory-broker.test.ts'];
const ARRIVALS = 'runtime/remote/arrivals.ts';
const INBOUND = 'runtime/remote/inbound.ts';
const WIRE = 'runtime/bus/wire.ts';

export const BUS_BUGS: readonly PlantedBug[] = [
  {
    name: 'a copy in an inbox is news',
    file: ARRIVALS,
    find: 'if (sequence <= stream.highest) return stream.missing.delete(sequence);',
    replace: 'if (sequence <= stream.highest) return true;',
    tests,
  },
  {
    name: 'a gap is told to nobody',
    file: ARRIVALS,
    find: 'if (skipped > 0 && wasHeard) this.onMissing(frame, skipped);',
    replace: '',
    tests,
  },
  {
    name: 'what readers die of is tried for ever',
    file: INBOUND,
    find: 'delivery.deliveries > this.deliveriesMax',
    replace: 'delivery.deliveries > 1_000',
    tests,
  },
  {
    name: 'a message from elsewhere has no time to live',
    file: WIRE,
    find: 'if (message.expiresAtMs !== undefined) extras.deadline',
    replace: 'if (message.expiresAtMs === 0) extras.deadline',
    tests,
  },
  {
    name: 'a message is settled before its queue has room',
    file: 'runtime/remote/relay.ts',
    find: 'return waits === undefined ? undefined : Promise.allSettled(waits).then(() => undefined);',
    replace: 'return undefined;',
    tests,
  },
  {
    name: 'one queue without room stops its lane',
    file: INBOUND,
    find: 'while (lane.waiting < LANE_MESSAGES_WAITING_MAX) {',
    replace: 'while (lane.waiting < 1) {',
    tests,
  },
  {
    name: 'a reply answers the oldest request',
    file: WIRE,
    find: 'const request = this.requests.get(message.id)?.request;',
    replace: 'const request = [...this.requests.values()][0]?.request;',
    tests,
  },
  {
    name: 'a reply that nobody waits for vanishes',
    file: WIRE,
    find: 'if (request?.answered({ address: node }, value) !== true) this.buryReply(message, value, lane, node);',
    replace: 'request?.answered({ address: node }, value);',
    tests,
  },
  {
    name: 'what a subscription has waited for counts for nothing',
    file: 'runtime/routing/function-subscriber.ts',
    find: 'return { capacity, agingMs, overflow',
    replace: 'return { capacity, overflow',
    tests: ['test/unit/subscription.test.ts'],
  },
  {
    name: 'who is refused for lack of room lets another one in',
    file: 'runtime/remote/outbox.ts',
    find: 'lane.waiting < OUTBOX_WAITING_MAX ? lane.standing : []',
    replace: 'lane.standing',
    tests: ['test/unit/outbox.test.ts'],
  },
];
