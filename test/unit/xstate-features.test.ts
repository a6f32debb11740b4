/**
 * Goal: a machine as an agent does what it does in xstate's own actor. Method: machines after the features that xstate documents, each
 * played to both with the same events at the same virtual times; whatever they tell by inspection events has to be the same.
 */

import { describe, expect, it } from 'vitest';
import {
  type AnyEventObject,
  and,
  assign,
  cancel,
  createMachine,
  type EventObject,
  emit,
  enqueueActions,
  forwardTo,
  fromCallback,
  fromEventObservable,
  fromObservable,
  fromPromise,
  fromTransition,
  log,
  type MachineContext,
  not,
  type Observer,
  type ProvidedActor,
  raise,
  type Spawner,
  type Subscribable,
  sendParent,
  sendTo,
  setup,
  spawnChild,
  stateIn,
  stopChild,
} from 'xstate';
import { type Cue, type Play, playedByAgent, playedByXstate } from '../support/xstate-play.ts';

/** `'A', 10, 'B'`: A at once, B after 10 ms. */
function cues(...script: readonly (string | number | { readonly type: string })[]): Cue[] {
  let atMs = 0;
  const found: Cue[] = [];
  for (const part of script) {
    if (typeof part === 'number') atMs += part;
    else found.push({ atMs, event: typeof part === 'string' ? { type: part } : part });
  }
  return found;
}

/** Emits 1, 2, 3, one after each `ms`, and completes. */
function counting(sleep: (ms: number) => Promise<void>, ms: number): Subscribable<number> {
  return {
    subscribe(given: unknown) {
      const observer = given as Observer<number>; // xstate gives one
      let isOver = false;
      const go = async (): Promise<void> => {
        for (let n = 1; n <= 3; n++) {
          await sleep(ms);
          if (isOver) return;
          observer.next?.(n);
        }
        observer.complete?.();
      };
      void go(); // nothing in it rejects
      return {
        unsubscribe: () => {
          isOver = true;
        },
      };
    },
  };
}

interface Feature extends Omit<Play, 'endMs'> {
  readonly endMs?: number;
  /** A line of what is told, to see that the feature was met at all. */
  readonly shows: RegExp;
}

interface Counted {
  n: number;
}
/** What machines here are made of, where the compiler has to know. */
const COUNTED = {} as { context: Counted; events: AnyEventObject };

const tick = assign({ n: ({ context }: { context: Counted }) => context.n + 1 });

const FEATURES: Readonly<Record<string, Feature>> = {
  'context, guards and actions': {
    machine: () =>
      createMachine({
        initial: 'a',
        context: { n: 0 },
        entry: () => undefined,
        states: {
          a: {
            on: {
              A: { guard: ({ context }) => context.n < 2, actions: tick },
              B: [{ guard: ({ context }) => context.n === 2, target: 'b', actions: tick }, { target: 'c' }],
            },
            exit: tick,
          },
          b: { entry: [tick, tick], on: { C: { target: 'a' } } },
          c: {},
        },
      }),
    cues: cues('A', 'A', 'A', 'B', 'C', 'B'),
    shows: /"value":"c","context":\{"n":7\}/,
  },
  'input, a lazy context, named actions with parameters, and guards that are put together': {
    machine: () =>
      setup({
        types: {
          context: {} as { n: number },
          input: {} as { n: number },
          events: {} as { type: 'A' | 'B' },
        },
        guards: { isAtLeast: ({ context }, { min }: { min: number }) => context.n >= min },
        actions: { add: assign({ n: ({ context }, { by }: { by: number }) => context.n + by }) },
      }).createMachine({
        context: ({ input }) => ({ n: input.n }),
        initial: 'a',
        states: {
          a: {
            on: {
              A: { actions: { type: 'add', params: { by: 5 } } },
              B: {
                guard: and([
                  { type: 'isAtLeast', params: { min: 10 } },
                  not({ type: 'isAtLeast', params: { min: 50 } }),
                ]),
                target: 'b',
              },
            },
          },
          b: {},
        },
      }),
    input: { n: 3 },
    cues: cues('B', 'A', 'A', 'B'),
    shows: /"value":"b","context":\{"n":13\}/,
  },
  'nested states, transitions of ancestors, wildcards and forbidden events': {
    machine: () =>
      createMachine({
        initial: 'a',
        context: { n: 0 },
        on: { '*': { actions: tick }, B: { target: '.b' } },
        states: {
          a: {
            initial: 'x',
            states: { x: { on: { A: 'y' } }, y: { on: { B: undefined, A: { target: '#deep' } } } },
          },
          b: {
            initial: 'z',
            states: { z: { id: 'deep', on: { C: { target: '#deep', reenter: true } }, entry: tick } },
          },
        },
      }),
    cues: cues('A', 'B', 'D', 'A', 'C', 'B'),
    shows: /"value":\{"b":"z"\}/,
  },
  'parallel states and stateIn': {
    machine: () =>
      createMachine({
        type: 'parallel',
        context: { n: 0 },
        states: {
          one: {
            initial: 'off',
            states: { off: { on: { A: 'on' } }, on: { on: { A: 'off' }, entry: tick } },
          },
          two: {
            initial: 'off',
            states: {
              off: { on: { A: 'on', B: { guard: stateIn({ one: 'on' }), target: 'on' } } },
              on: { on: { B: 'off' } },
            },
          },
        },
      }),
    cues: cues('B', 'A', 'A', 'B', 'A', 'B', 'B'),
    shows: /"value":\{"one":"on","two":"on"\}/,
  },
  'parallel states that are all done': {
    machine: () =>
      createMachine({
        initial: 'work',
        output: ({ event }) => event,
        states: {
          work: {
            type: 'parallel',
            states: {
              one: { initial: 'a', states: { a: { on: { A: 'end' } }, end: { type: 'final' } } },
              two: { initial: 'a', states: { a: { on: { B: 'end' } }, end: { type: 'final' } } },
            },
            onDone: 'over',
          },
          over: { type: 'final', output: { fine: true } },
        },
      }),
    cues: cues('A', 'A', 'B', 'C'),
    shows: /"value":"over".*"fine":true/,
  },
  'shallow and deep history': {
    machine: () =>
      createMachine({
        initial: 'away',
        states: {
          a: {
            initial: 'x',
            states: {
              x: { on: { A: 'y' } },
              y: { initial: 'p', states: { p: { on: { A: 'q' } }, q: {} } },
              shallow: { type: 'history' },
              deep: { type: 'history', history: 'deep' },
              default: { type: 'history', target: 'y' },
            },
            on: { B: 'away' },
          },
          away: { on: { C: 'a.shallow', D: 'a.deep', E: 'a.default' } },
        },
      }),
    cues: cues('E', 'A', 'B', 'D', 'B', 'C'),
    shows: /"value":\{"a":\{"y":"q"\}\}/,
  },
  'always and raise': {
    machine: () =>
      createMachine({
        initial: 'a',
        context: { n: 0 },
        states: {
          a: { on: { A: { actions: [raise({ type: 'B' }), tick, raise({ type: 'C' })] }, B: 'b' } },
          b: {
            entry: tick,
            always: [{ guard: ({ context }) => context.n > 3, target: 'c' }],
            on: { C: 'a', A: 'b' },
          },
          c: { entry: raise({ type: 'D' }), on: { D: 'd' } },
          d: {},
        },
      }),
    cues: cues('A', 'A', 'A'),
    shows: /"value":"d"/,
  },
  'after, with delays by name and by function': {
    machine: () =>
      setup({
        types: { context: {} as { n: number } },
        delays: { short: 20, growing: ({ context }) => 10 * context.n },
      }).createMachine({
        initial: 'a',
        context: { n: 1 },
        states: {
          a: {
            after: { short: { target: 'b', actions: assign({ n: ({ context }) => context.n + 1 }) } },
            on: { A: { target: 'a', reenter: true } },
          },
          b: {
            after: {
              growing: [{ guard: ({ context }) => context.n > 2, target: 'c' }, { target: 'a' }],
              500: 'c',
            },
          },
          c: {},
        },
      }),
    cues: cues(15, 'A'),
    shows: /"value":"c"/,
  },
  'delayed raise and sendTo, and cancel': {
    machine: () =>
      createMachine({
        initial: 'a',
        context: { n: 0 },
        on: { tock: { actions: tick } },
        states: {
          a: {
            entry: [
              raise({ type: 'tock' }, { delay: 30, id: 'one' }),
              sendTo(({ self }) => self, { type: 'tock' }, { delay: 41, id: 'two' }),
            ],
            on: {
              A: { actions: cancel('one') },
              B: { actions: raise({ type: 'tock' }, { delay: 5, id: 'two' }) },
            },
          },
        },
      }),
    cues: cues(10, 'A', 2, 'B'),
    shows: /"context":\{"n":1\}/,
  },
  'two delayed events of one id, of which only the later can be taken back, and that only before the earlier has come':
    {
      machine: () =>
        createMachine({
          context: { n: 0 },
          on: {
            A: { actions: raise({ type: 'tock' }, { delay: 30, id: 'one' }) },
            B: { actions: cancel('one') },
            tock: { actions: tick },
          },
        }),
      cues: cues('A', 10, 'A', 5, 'B', 50, 'A', 10, 'A', 25, 'B'),
      shows: /"context":\{"n":3\}/,
    },
  'tags and meta': {
    machine: () =>
      createMachine({
        initial: 'a',
        states: { a: { tags: ['wet', 'cold'], meta: { n: 1 }, on: { A: 'b' } }, b: { tags: 'dry' } },
      }),
    cues: cues('A'),
    shows: /"tags":\["dry"\]/,
  },
  'emit and enqueueActions': {
    machine: () =>
      setup({
        types: {
          ...COUNTED,
          emitted: {} as AnyEventObject,
        },
      }).createMachine({
        context: { n: 0 },
        entry: emit({ type: 'begun' }),
        on: {
          A: {
            actions: enqueueActions(({ enqueue, check, context }) => {
              enqueue.assign({ n: context.n + 1 });
              enqueue.emit({ type: 'counted', n: context.n });
              if (check(({ context: now }) => now.n > 0)) enqueue.raise({ type: 'B' });
            }),
          },
          B: {
            actions: [
              assign({ n: ({ context }) => context.n + 1 }),
              emit(({ context }) => ({ type: 'raised', n: context.n })),
            ],
          },
        },
      }),
    cues: cues('A', 'A'),
    shows: /"context":\{"n":3\}/,
  },
  'invoked promises': {
    machine: (sleep) =>
      createMachine({
        initial: 'a',
        context: { n: 0 },
        states: {
          a: {
            invoke: {
              id: 'add',
              src: fromPromise(async ({ input }: { input: number }) => {
                await sleep(10);
                if (input > 1) throw new Error('too much');
                return input + 1;
              }),
              input: ({ context }) => context.n,
              onDone: {
                target: 'a',
                reenter: true,
                actions: assign({ n: ({ event }) => event['output'] as number }),
              },
              onError: { target: 'b' },
            },
            on: { A: 'b' },
          },
          b: { on: { A: 'a' } },
        },
      }),
    cues: cues(5, 'A', 20, 'A', 50, 'A'),
    shows: /xstate\.error\.actor\.add/,
  },
  'an invoked promise that nobody waits for any more': {
    machine: (sleep) =>
      createMachine({
        initial: 'a',
        states: {
          a: { invoke: { id: 'slow', src: fromPromise(() => sleep(30)), onDone: 'c' }, on: { A: 'b' } },
          b: { after: { 50: 'c' } },
          c: {},
        },
      }),
    cues: cues(10, 'A'),
    shows: /@xstate.snapshot actor-1 \{"type":"xstate.stop"\}/,
  },
  'invoked callbacks that are sent to and send back': {
    machine: (sleep) =>
      createMachine({
        initial: 'a',
        context: { n: 0 },
        states: {
          a: {
            invoke: {
              id: 'echo',
              src: fromCallback(({ sendBack, receive, emit: _emit }) => {
                sendBack({ type: 'tock' });
                receive((event: { type: string }) => {
                  sendBack({ type: 'tock' });
                  if (event.type === 'B') void sleep(7).then(() => sendBack({ type: 'tock' }));
                });
                return () => undefined;
              }),
            },
            on: {
              A: { actions: sendTo('echo', { type: 'ping' }) },
              B: { actions: forwardTo('echo') },
              C: 'b',
              tock: { actions: tick },
            },
          },
          b: { on: { tock: { actions: tick } } },
        },
      }),
    cues: cues('A', 'B', 10, 'B', 2, 'C'),
    shows: /"value":"b","context":\{"n":5\}/,
  },
  'a callback that throws': {
    machine: () =>
      createMachine({
        initial: 'a',
        states: {
          a: {
            invoke: {
              id: 'bad',
              src: fromCallback(() => {
                throw new Error('it does not even start');
              }),
              onError: 'b',
            },
          },
          b: {},
        },
      }),
    cues: [],
    shows: /"value":"b"/,
  },
  'invoked observables': {
    machine: (sleep) =>
      createMachine({
        initial: 'a',
        context: { n: 0 },
        states: {
          a: {
            invoke: {
              id: 'count',
              src: fromObservable(() => counting(sleep, 10)),
              onSnapshot: {
                actions: assign({ n: ({ event }) => (event['snapshot'].context as number | undefined) ?? 0 }),
              },
              onDone: 'b',
            },
          },
          b: {
            invoke: {
              id: 'events',
              src: fromEventObservable(() => ({
                subscribe: (observer: unknown) =>
                  counting(sleep, 8).subscribe({
                    next: () => (observer as Observer<EventObject>).next?.({ type: 'tock' }),
                  }),
              })),
            },
            on: { tock: { actions: tick }, A: 'c' },
          },
          c: {},
        },
      }),
    cues: cues(48, 'A'),
    shows: /"value":"c","context":\{"n":5\}/,
  },
  'a child machine that is sent to, answers, and is done': {
    machine: () => {
      const child = createMachine({
        id: 'child',
        initial: 'x',
        context: { n: 0 },
        output: ({ context }) => context.n,
        states: {
          x: {
            after: { 15: { actions: [tick, sendParent({ type: 'tock' })], target: 'y' } },
            on: { ping: { actions: [tick, sendParent({ type: 'pong' })] } },
          },
          y: { after: { 10: 'z' } },
          z: { type: 'final' },
        },
      });
      return createMachine({
        initial: 'a',
        context: { n: 0 },
        states: {
          a: {
            invoke: {
              id: 'kid',
              src: child,
              onDone: { target: 'b', actions: assign({ n: ({ event }) => event['output'] as number }) },
            },
            on: { A: { actions: sendTo('kid', { type: 'ping' }) }, pong: { actions: raise({ type: 'C' }) } },
          },
          b: { on: { A: 'a' } },
        },
      });
    },
    cues: cues('A', 3, 'A', 40, 'A', 5, 'A'),
    shows: /"value":"b","context":\{"n":3\}/,
  },
  'spawned actors, by action and in assign, that are stopped': {
    machine: (sleep) => {
      const timer = fromCallback(
        ({ sendBack, input }: { sendBack: (event: { type: string }) => void; input: number }) => {
          void sleep(input).then(() => sendBack({ type: 'tock' }));
        },
      );
      return createMachine({
        context: ({ spawn }: { spawn: Spawner<ProvidedActor> }) => ({
          n: 0,
          kid: spawn(timer, { id: 'first', input: 13 }),
        }),
        on: {
          tock: { actions: tick },
          A: { actions: spawnChild(timer, { id: 'second', input: 20 }) },
          B: {
            actions: assign({
              kid: ({ spawn }: { spawn: Spawner<ProvidedActor> }) => spawn(timer, { id: 'third', input: 31 }),
            }),
          },
          C: { actions: stopChild('second') },
          D: { actions: stopChild(({ context }: { context: MachineContext }) => context['kid']) },
        },
      });
    },
    cues: cues('A', 5, 'B', 2, 'C', 10, 'A', 1, 'D'),
    shows: /"n":2/,
  },
  'an actor of fromTransition, and a system id': {
    machine: () =>
      createMachine({
        initial: 'a',
        context: { n: 0 },
        states: {
          a: {
            invoke: {
              src: fromTransition(
                (n: number, event: { type: string }) => (event.type === 'add' ? n + 1 : n),
                0,
              ),
              id: 'sum',
              systemId: 'adder',
              onSnapshot: { actions: assign({ n: ({ event }) => event['snapshot'].context }) },
            },
            on: {
              A: { actions: sendTo(({ system }) => system.get('adder'), { type: 'add' }) },
              B: { target: 'a', reenter: true },
              C: 'b',
            },
          },
          b: {},
        },
      }),
    cues: cues('A', 'A', 'B', 'A', 'C'),
    shows: /"n":2/,
  },
  'an error of an action': {
    machine: () =>
      createMachine({
        on: {
          A: {
            actions: () => {
              throw new Error('an action fails');
            },
          },
        },
      }),
    cues: cues(3, 'A', 'B'),
    shows: /"type":"A"/,
  },
  'an error of a guard': {
    machine: () =>
      createMachine({
        on: {
          A: {
            guard: () => {
              throw new Error('a guard fails');
            },
          },
        },
      }),
    cues: cues('A'),
    shows: /"type":"A"/,
  },
  'an error of the initial state': {
    machine: () =>
      createMachine({
        entry: () => {
          throw new Error('it fails at once');
        },
      }),
    cues: cues('A'),
    shows: /xstate\.init/,
  },
  'an error of a child that nobody handles': {
    machine: (sleep) =>
      createMachine({
        invoke: [
          {
            id: 'bad',
            src: fromPromise(async () => {
              await sleep(5);
              throw new Error('nobody handles this');
            }),
          },
          { id: 'good', src: fromCallback(() => undefined) },
        ],
      }),
    cues: cues(10, 'A'),
    shows: /xstate\.error\.actor\.bad/,
  },
  'a machine that is done at once': {
    machine: () =>
      createMachine({
        initial: 'a',
        output: { n: 1 },
        states: { a: { type: 'final', entry: emit({ type: 'late' }) } },
      }),
    cues: cues('A'),
    shows: /"status":"done"/,
  },
  'an output made of the context, and exit actions at the end': {
    machine: () =>
      createMachine({
        initial: 'a',
        context: { n: 0 },
        exit: [tick, emit({ type: 'bye' })],
        output: ({ context }) => ({ total: context.n }),
        states: {
          a: { after: { 10: 'end' }, exit: tick, on: { A: { actions: tick } } },
          end: { type: 'final', entry: log('never mind') },
        },
      }),
    cues: cues('A', 20, 'A'),
    shows: /"total":/,
  },
  'a loop of always that never ends': {
    machine: () =>
      createMachine({
        options: { maxIterations: 20 },
        initial: 'a',
        states: { a: { on: { A: 'b' } }, b: { always: 'c' }, c: { always: 'b' } },
      }),
    cues: cues('A'),
    shows: /"type":"A"/,
  },
};

describe('a machine as an agent does as in xstate', () => {
  it.each(Object.entries(FEATURES))('%s', async (_name, { shows, endMs = 200, ...play }) => {
    const whole = { ...play, endMs };
    const expected = await playedByXstate(whole);
    expect(expected.isFair).toBe(true);
    expect(expected.lines.some((line) => shows.test(line)) || shows.test(String(expected.end))).toBe(true);
    const { lines, emitted, end } = await playedByAgent(whole);
    expect(lines).toEqual(expected.lines);
    expect(emitted).toEqual(expected.emitted);
    expect(end).toBe(expected.end);
  });
});
