/** Machines as agents, as they are meant to be written: no annotations but those that xstate asks for. */

import { ask, createSystem, protocol, supervisor, tell, topic, type } from 'troupe';
import { later, machineAgent } from 'troupe/xstate';
import { assign, createMachine, emit, fromPromise, setup } from 'xstate';
import { z } from 'zod';

const Changed = topic('order.changed', z.object({ to: z.string() }));
const Order = protocol('order', {
  place: tell(z.object({ amount: z.number(), note: z.string().optional() })),
  cancel: tell(),
  settle: ask(z.object({ by: z.string() }), z.object({ paid: z.number() })),
});

const order = setup({
  types: {
    context: {} as { amount: number },
    input: {} as { limit: number },
    output: {} as { paid: number },
    emitted: {} as { type: 'changed'; to: string },
    events: {} as
      | { type: 'place'; amount: number; note?: string | undefined }
      | { type: 'cancel' }
      | { type: 'settle'; by: string }
      | { type: 'own' },
  },
  actors: { pay: fromPromise(async ({ input }: { input: number }) => input) },
}).createMachine({
  context: ({ input }) => ({ amount: input.limit }),
  output: ({ context }) => ({ paid: context.amount }),
  initial: 'open',
  states: {
    open: {
      on: {
        place: {
          actions: [assign({ amount: ({ event }) => event.amount }), emit({ type: 'changed', to: 'open' })],
        },
        settle: 'paying',
      },
    },
    paying: { invoke: { src: 'pay', input: ({ context }) => context.amount, onDone: 'paid' } },
    paid: { type: 'final' },
  },
});

export const orders = machineAgent(Order, order, {
  mailbox: { capacity: 10 },
  decide: () => 'restart',
  input: (args: { limits: readonly number[] }, ctx) => ({ limit: args.limits[ctx.generation] ?? 0 }),
  reply: {
    settle: (snapshot, request) =>
      snapshot.status === 'done' && request.by !== '' ? { paid: snapshot.output?.paid ?? 0 } : later,
  },
  onEmit: (ctx, event) => ctx.publish(Changed, {}, { to: event.to }),
  onDone: (ctx, output) => ctx.log.info('paid', { paid: output.paid }),
});

/** The input is the argument. */
export const plain = machineAgent(Order, order, { reply: { settle: () => later } });

/** A machine without types takes every event, and one without input no arguments. */
const Bell = protocol('bell', { ring: tell(type<{ loud: boolean }>()) });
export const bell = machineAgent(Bell, createMachine({ on: { ring: {} } }), {});

export async function use(): Promise<number> {
  const root = supervisor({
    children: {
      orders: orders.child({ args: { limits: [1, 2] } }),
      plain: plain.child({ args: { limit: 3 }, restart: 'transient' }),
      bell: bell.child(),
    },
  });
  const system = await createSystem({ name: 'shop', root });
  system.refs.bell.tell('ring', { loud: true });
  const { paid } = await system.refs.orders.ask('settle', { by: 'Ada' });
  return paid;
}
