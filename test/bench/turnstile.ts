/** The machine that both sides of bench:xstate run: two states, a guard, a context that changes with every event. */

import { assign, setup } from 'xstate';

/** A turnstile that tells of every event it takes. */
export function turnstile(took: () => void) {
  return setup({
    types: {
      context: {} as { coins: number; people: number },
      events: {} as { type: 'coin'; value: number } | { type: 'push' },
    },
    actions: { took },
  }).createMachine({
    initial: 'locked',
    context: { coins: 0, people: 0 },
    on: { push: { actions: 'took' } },
    states: {
      locked: {
        on: {
          coin: {
            guard: ({ event }) => event.value > 0,
            target: 'open',
            actions: [assign({ coins: ({ context, event }) => context.coins + event.value }), 'took'],
          },
        },
      },
      open: {
        on: {
          push: {
            target: 'locked',
            actions: [assign({ people: ({ context }) => context.people + 1 }), 'took'],
          },
        },
      },
    },
  });
}
