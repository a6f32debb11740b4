import { agent, ask, createSystem, isTroupeError, protocol, type Ref, supervisor, tell, type } from 'troupe';
import { later, machineAgent } from 'troupe/xstate';
import { assign, emit, fromPromise, setup } from 'xstate';

const Approval = protocol('approval', {
  approve: tell(type<{ by: string }>()),
  outcome: ask(type<void>(), type<string>()),
});
const Boss = protocol('boss', { decide: tell(type<{ request: Ref<typeof Approval> }>()) });

// A service that is away when it is first needed.
let attempts = 0;
async function isKnownFraud(_amount: number): Promise<boolean> {
  attempts += 1;
  await new Promise((resolve) => setTimeout(resolve, 20));
  if (attempts === 1) throw new Error('the register is away');
  return false;
}

// The workflow and nothing else: it can be drawn and simulated, and knows of no actor.
const approval = setup({
  types: {
    context: {} as { amount: number; verdict: string },
    input: {} as { amount: number },
    output: {} as string,
    events: {} as { type: 'approve'; by: string } | { type: 'outcome' },
    emitted: {} as { type: 'decision-needed'; of: 'manager' | 'director' },
  },
  actors: { check: fromPromise(({ input }: { input: number }) => isKnownFraud(input)) },
  delays: { patience: 50 },
}).createMachine({
  id: 'approval',
  context: ({ input }) => ({ ...input, verdict: 'refused' }),
  output: ({ context }) => context.verdict,
  initial: 'checking',
  states: {
    checking: {
      // No onError: what the workflow has no answer to is its supervisor's business.
      invoke: {
        src: 'check',
        input: ({ context }) => context.amount,
        onDone: [{ guard: ({ event }) => event.output, target: 'closed' }, { target: 'waiting' }],
      },
    },
    waiting: {
      initial: 'manager',
      on: {
        approve: {
          target: 'closed',
          actions: assign({ verdict: ({ event }) => `approved by the ${event.by}` }),
        },
      },
      states: {
        manager: { entry: emit({ type: 'decision-needed', of: 'manager' }), after: { patience: 'director' } },
        director: {
          entry: emit({ type: 'decision-needed', of: 'director' }),
          after: { patience: '#approval.closed' },
        },
      },
    },
    closed: { type: 'final' },
  },
});

// What joins it to the others. Each request is an agent: one mailbox, one clock, one supervisor.
const request = machineAgent(Approval, approval, {
  reply: { outcome: ({ status, output }) => (status === 'done' ? (output ?? '') : later) },
  onEmit: (ctx, { of }) => {
    console.log(`the ${of} is asked`);
    ctx.tell(ctx.system.ref(Boss, of), 'decide', { request: ctx.self });
  },
});

// The manager is on holiday.
const manager = agent(Boss, { on: { decide: () => undefined } });
const director = agent(Boss, {
  on: {
    decide: (ctx, { request: ref }) => {
      console.log(ctx.system.inspect(ref)?.state); // { waiting: 'director' }
      ctx.tell(ref, 'approve', { by: 'director' });
    },
  },
});

const root = supervisor({
  children: {
    manager: manager.child(),
    director: director.child(),
    request: request.child({ args: { amount: 900 }, backoff: { minMs: 20, maxMs: 1_000 } }),
  },
});
const system = await createSystem({ name: 'approvals', root, log: false });
const { request: ref } = system.refs;

try {
  console.log(await ref.ask('outcome'));
} catch (error) {
  // Whoever waits hears of the crash at once; the ref and its mailbox stay, and the next question waits for the restart.
  if (!isTroupeError(error)) throw error;
  console.log(`${error.code}: ${(error.cause as Error).message}`);
}
console.log(await ref.ask('outcome')); // answered when the machine is in its final state
console.log(`${attempts} checks`);
await system.shutdown();
