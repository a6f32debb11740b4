import { describe, expect, it } from 'vitest';
import { Kernel } from '../../runtime/actor/kernel.ts';
import { Supervisor } from '../../runtime/supervision/supervisor.ts';
import type { SupervisorSettings } from '../../runtime/supervision/supervisor-settings.ts';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import { HandChild } from '../support/hand-child.ts';
import { HandHost } from '../support/hand-host.ts';
import { deferred, endingOf } from '../support/puppet.ts';

const FAIL = (): never => {
  throw new Error('fail');
};

/** A supervisor of children a, b and c that are in the test's hand. */
function handMade(options: Partial<SupervisorSettings> = {}) {
  const seen: string[] = [];
  const host = new HandHost();
  const kernel = new Kernel(host, {
    deadLettersMax: 1,
    replaysMax: 1,
    asksInFlightMax: 1,
    isDevelopment: false,
  });
  const events: RuntimeEvent[] = [];
  kernel.events.listen((event) => events.push(event));
  const supervisor = new Supervisor(
    {
      kernel,
      cellFor: () => {
        throw new Error('there are no actors here');
      },
      opened: () => undefined,
      closed: () => undefined,
    },
    {
      path: '/root/hand',
      strategy: 'one-for-one',
      intensity: { max: 10, withinMs: 1_000 },
      restartsWithoutProgressMax: Infinity,
      autoShutdown: 'never',
      childrenMax: Infinity,
      keepsEnded: true,
      onLimit: 'escalate',
      stopOrder: 'reverse',
      ended: (reason) => seen.push(`ended ${reason}`),
      ...options,
    },
  );
  const [a, b, c] = [new HandChild('a', seen), new HandChild('b', seen), new HandChild('c', seen)] as const;
  supervisor.defined.push(a, b, c);
  /** Lets everything happen that can, and answers what was told since. */
  const since = async (): Promise<string[]> => {
    for (let round = 0; round < 5; round++) await host.turn();
    return seen.splice(0);
  };
  return { supervisor, kernel, events, seen, a, b, c, since };
}

describe('a supervisor that starts its children', () => {
  it('P11 looks at a failure only when all have started', async () => {
    const { supervisor, a, b, since } = handMade();
    const gate = deferred();
    b.onStart = () => gate.promise;
    const started = supervisor.startAll();
    await since();
    supervisor.failed(a.fails(), 'early');
    expect(await since()).toEqual([]);
    gate.resolve();
    await started;
    expect(await since()).toEqual(['start c', 'due a early', 'leave a', 'again a']);
  });

  it('P11 looks at two failures of that time one after the other, also as a group', async () => {
    const { supervisor, a, b, c, since } = handMade({ strategy: 'one-for-all' });
    c.onStart = () => {
      if (c.status !== 'starting') return;
      supervisor.failed(a.fails(), 'first');
      supervisor.failed(b.fails(), 'second');
    };
    await supervisor.startAll();
    expect((await since()).slice(3)).toEqual([
      'due a first',
      'leave a',
      'leave c as sibling',
      'leave b as sibling',
      'again a',
      'again b',
      'again c',
    ]);
  });

  it('P31 forgets the failure of a child that was stopped before it was looked at', async () => {
    const { supervisor, a, b, since } = handMade();
    b.onStart = () => {
      supervisor.failed(a.fails(), 'early');
      a.status = 'stopped';
    };
    await supervisor.startAll();
    expect(await since()).toEqual(['start a', 'start b', 'start c']);
  });

  it('P24 gives up once for two failures of that time, and then stops the other as one of its children', async () => {
    const { supervisor, events, a, b, c, since } = handMade({ intensity: { max: 0, withinMs: 1_000 } });
    c.onStart = () => {
      supervisor.failed(a.fails(), 'first');
      supervisor.failed(b.fails(), 'second');
    };
    await supervisor.startAll();
    expect((await since()).slice(3)).toEqual([
      'stop a failed',
      'stop c shutdown',
      'stop b shutdown',
      'stop a shutdown',
      'ended escalated',
    ]);
    expect(events.filter(({ type }) => type === 'supervisor-gave-up')).toHaveLength(1);
  });

  it('starts no further child when it is stopped meanwhile, and says so', async () => {
    const { supervisor, a, c, since } = handMade();
    const [start, stop] = [deferred(), deferred()];
    a.onStart = () => start.promise;
    c.onStop = () => stop.promise;
    let hasStarted = false;
    const starting = endingOf(
      supervisor.startAll(() => {
        hasStarted = true;
      }),
    );
    await since();
    void supervisor.stopAll();
    start.resolve();
    expect(await since()).toEqual(['stop c shutdown', 'stop a shutdown']);
    expect(starting).toMatchObject({
      is: 'ERR_ACTOR_STOPPED',
      error: { details: { address: '/root/hand' } },
    });
    stop.resolve();
    expect(await since()).toEqual(['stop b shutdown', 'stop a shutdown']);
    expect(hasStarted).toBe(false);
  });

  it('has not started when it is stopped while the last child starts', async () => {
    const { supervisor, a, c, since } = handMade();
    const [start, stop] = [deferred(), deferred()];
    c.onStart = () => start.promise;
    a.onStop = () => stop.promise;
    let hasStarted = false;
    const starting = endingOf(
      supervisor.startAll(() => {
        hasStarted = true;
      }),
    );
    await since();
    void supervisor.stopAll();
    start.resolve();
    await since();
    stop.resolve();
    await since();
    expect(starting.is).toBe('ERR_ACTOR_STOPPED');
    expect(hasStarted).toBe(false);
  });

  it('forgets the failures of a start that failed: in the next life each counts once', async () => {
    const { supervisor, a, b, since } = handMade();
    let lives = 0;
    b.onStart = () => {
      supervisor.failed(a.fails(), `life ${++lives}`);
      if (lives === 1) FAIL();
    };
    await expect(supervisor.startAll()).rejects.toThrow('fail');
    await supervisor.startAll();
    expect((await since()).filter((line) => line.startsWith('due'))).toEqual(['due a life 2']);
  });

  it('P31 restarts nothing while all are stopped, and forgets who failed before', async () => {
    const { supervisor, events, a, c, since } = handMade({ strategy: 'rest-for-one' });
    await supervisor.startAll();
    const gate = deferred();
    c.onLeave = () => gate.promise;
    supervisor.failed(c.fails(), 'first');
    supervisor.failed(a.fails(), 'waits');
    c.onStop = () => gate.promise;
    await since();
    const stopped = supervisor.stopAll();
    supervisor.failed(a.fails(), 'late');
    expect(await since()).toEqual(['stop c shutdown', 'stop a failed']);
    gate.resolve();
    await stopped;
    expect(await since()).toEqual(['stop b shutdown', 'stop a shutdown']);
    expect(events).toEqual([]);
  });
});

describe('a supervisor that restarts a group', () => {
  it('P30 lets a failure outside the group wait until the group is up', async () => {
    const { supervisor, a, b, since } = handMade({ strategy: 'rest-for-one' });
    await supervisor.startAll();
    const gate = deferred();
    b.delayMs = 100;
    b.onPause = () => gate.promise;
    supervisor.failed(b.fails(), 'b');
    await since();
    supervisor.failed(a.fails(), 'a');
    expect(await since()).toEqual([]);
    gate.resolve();
    expect((await since()).slice(0, 5)).toEqual([
      'again b',
      'again c',
      'due a a',
      'leave a',
      'leave c as sibling',
    ]);
  });

  it('P30 keeps such a failure also when it comes while the group leaves', async () => {
    const { supervisor, a, b, since } = handMade({ strategy: 'rest-for-one' });
    await supervisor.startAll();
    await since();
    b.onLeave = () => {
      supervisor.failed(a.fails(), 'a');
      b.onLeave = () => undefined;
    };
    supervisor.failed(b.fails(), 'b');
    expect((await since()).slice(0, 6)).toEqual([
      'due b b',
      'leave b',
      'leave c as sibling',
      'again b',
      'again c',
      'due a a',
    ]);
  });

  it('P30 begins again at once when one that is up fails while others start: those after it have not begun', async () => {
    const { supervisor, a, b, since } = handMade({ strategy: 'one-for-all' });
    await supervisor.startAll();
    await since();
    b.onStart = () => {
      b.onStart = () => undefined;
      supervisor.failed(a.fails(), 'a');
    };
    supervisor.failed(b.fails(), 'b');
    expect((await since()).slice(4)).toEqual([
      'again a',
      'again b',
      'due a a',
      'leave a',
      'leave c as sibling',
      'leave b as sibling',
      'pause a 0',
      'again a',
      'again b',
      'again c',
    ]);
  });

  it('P30 begins again for the first that failed and was not stopped since', async () => {
    const { supervisor, a, b, c, since } = handMade({ strategy: 'one-for-all' });
    await supervisor.startAll();
    await since();
    c.onStart = () => {
      c.onStart = () => undefined;
      supervisor.failed(a.fails(), 'a');
      a.status = 'stopped';
      supervisor.failed(b.fails(), 'b');
    };
    supervisor.failed(c.fails(), 'c');
    expect((await since()).filter((line) => line.startsWith('due'))).toEqual(['due c c', 'due b b']);
  });

  it('P30 of some children passes over failures of the others', async () => {
    const { supervisor, a, b, c, since } = handMade({ strategy: 'rest-for-one' });
    await supervisor.startAll();
    await since();
    c.onStart = () => {
      c.onStart = () => undefined;
      supervisor.failed(a.fails(), 'a');
      supervisor.failed(b.fails(), 'b');
    };
    supervisor.failed(b.fails(), 'first');
    expect((await since()).filter((line) => line.startsWith('due'))).toEqual([
      'due b first',
      'due b b',
      'due a a',
    ]);
  });

  it.each(['leaves', 'starts'])('ends when one of the group escalates while it %s', async (phase) => {
    const { supervisor, events, a, b, since } = handMade({ strategy: 'one-for-all' });
    await supervisor.startAll();
    await since();
    const escalate = (): void => {
      b.onStart = () => undefined;
      supervisor.escalated(a.fails(), new Error('too much'));
    };
    if (phase === 'leaves') b.onLeave = escalate;
    else b.onStart = escalate;
    supervisor.failed(b.fails(), 'b');
    const told = await since();
    expect(told).not.toContain('again c');
    expect(told.slice(-5)).toEqual([
      'stop a failed',
      'stop c shutdown',
      'stop b shutdown',
      'stop a shutdown',
      'ended escalated',
    ]);
    expect(events).toMatchObject([
      { type: 'supervisor-gave-up', limit: 'a: its decide said escalate' },
      { type: 'supervisor-stopped', reason: 'escalated', error: { cause: { message: 'too much' } } },
    ]);
  });

  it('ends when another child escalates meanwhile, but only when the group is up', async () => {
    const { supervisor, a, b, since } = handMade({ strategy: 'rest-for-one' });
    await supervisor.startAll();
    await since();
    b.onLeave = () => supervisor.escalated(a.fails(), 'a');
    supervisor.failed(b.fails(), 'b');
    expect((await since()).slice(3, 6)).toEqual(['again b', 'again c', 'stop a failed']);
  });

  it('P31 does not end for an escalation whose child was stopped since', async () => {
    const { supervisor, events, a, b, since } = handMade({ strategy: 'one-for-all' });
    await supervisor.startAll();
    await since();
    b.onLeave = () => {
      supervisor.escalated(a.fails(), 'a');
      a.status = 'stopped';
      a.leave = () => Promise.resolve();
    };
    supervisor.failed(b.fails(), 'b');
    expect(await since()).toContain('again c');
    expect(events).toEqual([]);
  });

  it('P37 starts the others when one of them is not to be started again', async () => {
    const { supervisor, events, a, b, since } = handMade({ strategy: 'one-for-all' });
    await supervisor.startAll();
    await since();
    b.onStart = FAIL;
    b.directive = 'stop';
    supervisor.failed(a.fails(), 'a');
    expect((await since()).slice(4)).toEqual(['again a', 'again b', 'stop b failed', 'again c']);
    expect(events).toEqual([]);
  });
});

describe('a significant child that ends', () => {
  it.each(['leaves', 'starts'])(
    'P19 while its group %s ends nothing if the group brings it back',
    async (phase) => {
      const { supervisor, events, a, b, c, since } = handMade({
        strategy: 'one-for-all',
        autoShutdown: 'any-significant',
      });
      a.isSignificant = true;
      await supervisor.startAll();
      await since();
      const end = (): void => {
        a.status = 'stopped';
        supervisor.left(a);
      };
      if (phase === 'leaves') b.onLeave = end;
      else {
        b.delayMs = 100;
        b.onPause = end;
      }
      supervisor.failed(b.fails(), 'b');
      await since();
      expect([a.status, b.status, c.status]).toEqual(['running', 'running', 'running']);
      expect(events).toEqual([]);
    },
  );

  it('P19 while its group pauses ends the supervisor afterwards if it stays away', async () => {
    const { supervisor, a, b, since } = handMade({
      strategy: 'rest-for-one',
      autoShutdown: 'any-significant',
    });
    a.isSignificant = true;
    await supervisor.startAll();
    await since();
    b.delayMs = 100;
    b.onPause = () => {
      a.status = 'stopped';
      supervisor.left(a);
    };
    supervisor.failed(b.fails(), 'b');
    expect((await since()).slice(4)).toEqual([
      'again b',
      'again c',
      'stop c shutdown',
      'stop b shutdown',
      'stop a shutdown',
      'ended shutdown',
    ]);
  });

  it('P19 while its group leaves ends nothing if all are stopped then', async () => {
    const { supervisor, events, a, b, since } = handMade({
      strategy: 'rest-for-one',
      autoShutdown: 'any-significant',
    });
    a.isSignificant = true;
    await supervisor.startAll();
    const gate = deferred();
    b.onLeave = () => gate.promise;
    supervisor.failed(b.fails(), 'b');
    a.status = 'stopped';
    supervisor.left(a);
    await supervisor.stopAll();
    gate.resolve();
    expect(await since()).not.toContain('ended shutdown');
    expect(events).toEqual([]);
  });

  it('P19 is the last one also where another is about to end', async () => {
    const { supervisor, a, b, since } = handMade({ autoShutdown: 'all-significant' });
    a.isSignificant = true;
    b.isSignificant = true;
    await supervisor.startAll();
    await since();
    b.status = 'stopping';
    a.status = 'stopped';
    supervisor.left(a);
    expect(await since()).toContain('ended shutdown');
  });
});

describe('a request', () => {
  it('waits while children are restarted as a group, and they for it', async () => {
    const { supervisor, a, b, seen, since } = handMade({ strategy: 'one-for-all' });
    await supervisor.startAll();
    await since();
    const [leave, work] = [deferred(), deferred()];
    b.onLeave = () => leave.promise;
    b.onPause = () => undefined;
    b.delayMs = 1;
    supervisor.failed(b.fails(), 'b');
    void supervisor.request(async () => {
      seen.push('request');
      await work.promise;
    });
    expect(await since()).toEqual(['due b b', 'leave b']);
    leave.resolve();
    expect(await since()).toEqual(['leave c as sibling', 'leave a as sibling', 'request', 'pause b 1']);
    supervisor.failed(a.fails(), 'a');
    expect(await since()).toEqual([]);
    work.resolve();
    expect((await since()).slice(0, 1)).toEqual(['again a']);
  });

  it('holds up no failure and no other request where children restart alone', async () => {
    const { supervisor, a, seen, since } = handMade();
    await supervisor.startAll();
    await since();
    void supervisor.request(() => new Promise(() => undefined));
    void supervisor.request(() => Promise.resolve(seen.push('second')));
    supervisor.failed(a.fails(), 'a');
    expect(await since()).toEqual(['second', 'due a a', 'leave a', 'again a']);
  });

  it('waits until the children have started', async () => {
    const { supervisor, b, seen, since } = handMade();
    const gate = deferred();
    b.onStart = () => gate.promise;
    const started = supervisor.startAll();
    void supervisor.request(() => Promise.resolve(seen.push('request')));
    expect(await since()).toEqual(['start a', 'start b']);
    gate.resolve();
    await started;
    expect(await since()).toEqual(['start c', 'request']);
  });
});

describe('a start that fails', () => {
  it.each([
    [
      'escalate',
      ['stop a failed', 'stop c shutdown', 'stop b shutdown', 'stop a shutdown', 'ended escalated'],
    ],
    ['stop', ['stop a failed', 'stop c shutdown', 'stop b shutdown', 'stop a shutdown', 'ended shutdown']],
  ] as const)('P37 is not tried again where the decision is %s', async (directive, told) => {
    const { supervisor, events, a, since } = handMade({ autoShutdown: 'any-significant' });
    a.isSignificant = true;
    await supervisor.startAll();
    await since();
    a.onStart = FAIL;
    a.directive = directive;
    supervisor.failed(a.fails(), 'a');
    expect((await since()).slice(3)).toEqual(told);
    const limits = events.flatMap((event) => (event.type === 'supervisor-gave-up' ? [event.limit] : []));
    expect(limits).toEqual(directive === 'escalate' ? ['a: its decide said escalate'] : []);
  });

  it('P24 counts nothing when its supervisor ends already', async () => {
    const { supervisor, events, a, b, since } = handMade({ intensity: { max: 2, withinMs: 1_000 } });
    await supervisor.startAll();
    await since();
    const gate = deferred();
    b.onStart = () => gate.promise.then(FAIL);
    b.onStop = () => undefined;
    a.onStop = () => gate.promise;
    supervisor.failed(b.fails(), 'b');
    await since();
    supervisor.escalated(a.fails(), 'a');
    await since();
    gate.resolve();
    expect(await since()).toContain('stop b failed');
    expect(events.filter(({ type }) => type === 'supervisor-gave-up')).toHaveLength(1);
  });
});

describe('a limit', () => {
  it('P16 P23 is named when it is reached, with its cause, and nothing is restarted any more', async () => {
    const { supervisor, kernel, events, a, since } = handMade({
      intensity: { max: 1, withinMs: 1_000 },
      restartsWithoutProgressMax: 3,
    });
    await supervisor.startAll();
    supervisor.failed(a.fails(), 'a');
    await since();
    supervisor.failed(a.fails(), 'once more');
    const ends = [
      'stop a failed',
      'stop c shutdown',
      'stop b shutdown',
      'stop a shutdown',
      'ended escalated',
    ];
    expect(await since()).toEqual(ends);
    await supervisor.startAll();
    await since();
    a.restartsWithoutProgress = 3;
    supervisor.failed(a.fails(), 'no progress');
    expect(await since()).toEqual(ends);
    expect(events).toMatchObject([
      { type: 'supervisor-gave-up', address: '/root/hand', limit: 'a: more than 1 restarts in 1000 ms' },
      {
        type: 'supervisor-stopped',
        error: {
          code: 'ERR_RESTART_INTENSITY',
          details: { address: '/root/hand', limit: 'a: more than 1 restarts in 1000 ms' },
          cause: 'once more',
        },
      },
      { type: 'supervisor-gave-up', limit: 'a: 3 restarts without a completed turn' },
      { type: 'supervisor-stopped' },
    ]);
    expect(kernel.telemetry.escalations).toBe(2);
    await supervisor.startAll();
    await since();
    supervisor.escalated(a.fails(), 'escalated');
    expect(await since()).toEqual(ends);
  });
});

describe('a restart of one child', () => {
  it('P5 begins the next life only when the old one has been left', async () => {
    const { supervisor, a, since } = handMade();
    await supervisor.startAll();
    await since();
    const gate = deferred();
    a.onLeave = () => gate.promise;
    supervisor.failed(a.fails(), 'a');
    expect(await since()).toEqual(['due a a', 'leave a']);
    gate.resolve();
    expect(await since()).toEqual(['again a']);
  });

  it('P29 is over when the child is stopped while it waits', async () => {
    const { supervisor, a, since } = handMade();
    await supervisor.startAll();
    await since();
    a.delayMs = 100;
    a.onPause = () => a.stop('shutdown');
    supervisor.failed(a.fails(), 'a');
    expect(await since()).toEqual(['due a a', 'leave a', 'pause a 100', 'stop a shutdown']);
  });

  it('P29 waits for nothing when the child is stopped while it leaves', async () => {
    const { supervisor, a, since } = handMade();
    await supervisor.startAll();
    await since();
    a.delayMs = 100;
    a.onLeave = () => a.stop('shutdown');
    supervisor.failed(a.fails(), 'a');
    expect(await since()).toEqual(['due a a', 'leave a', 'stop a shutdown']);
  });

  it('P17 says of each attempt why it is made, and pauses before all but the first', async () => {
    const { supervisor, a, since } = handMade();
    await supervisor.startAll();
    await since();
    let starts = 0;
    a.onStart = () => {
      if (++starts < 3) throw new Error(`start ${starts}`);
    };
    supervisor.failed(a.fails(), 'a');
    const attempt = (cause: string): string[] => [`due a ${cause}`, 'leave a'];
    expect(await since()).toEqual([
      ...attempt('a'),
      'again a',
      ...attempt('start 1'),
      'pause a 0',
      'again a',
      ...attempt('start 2'),
      'pause a 0',
      'again a',
    ]);
  });
});

describe('a restart of a group', () => {
  it('P17 pauses for the child that failed last, and without a delay not before the first attempt', async () => {
    const { supervisor, a, b, since } = handMade({ strategy: 'rest-for-one' });
    await supervisor.startAll();
    await since();
    let starts = 0;
    b.onStart = () => {
      if (++starts < 3) throw new Error(`start ${starts}`);
    };
    a.delayMs = 0;
    supervisor.failed(a.fails(), 'a');
    expect((await since()).filter((line) => !line.startsWith('leave'))).toEqual([
      'due a a',
      'again a',
      'again b',
      'due b start 1',
      'pause b 0',
      'again b',
      'due b start 2',
      'pause b 0',
      'again b',
      'again c',
    ]);
  });

  it('P29 tells nobody and waits for nothing once all are stopped', async () => {
    const { supervisor, a, b, since } = handMade({ strategy: 'one-for-all' });
    await supervisor.startAll();
    await since();
    b.delayMs = 100;
    b.onLeave = () => {
      void supervisor.stopAll();
    };
    supervisor.failed(b.fails(), 'b');
    expect(await since()).toEqual([
      'due b b',
      'leave b',
      'stop c shutdown',
      'stop b shutdown',
      'stop a shutdown',
    ]);
    expect(a.status).toBe('stopped');
  });

  it('P29 starts no other child once all are stopped, and counts no failure of a start', async () => {
    const { supervisor, a, b, events, since } = handMade({
      strategy: 'one-for-all',
      intensity: { max: 1, withinMs: 1_000 },
    });
    await supervisor.startAll();
    await since();
    a.onStart = () => {
      void supervisor.stopAll();
      a.onStart = () => undefined;
    };
    supervisor.failed(b.fails(), 'b');
    expect(await since()).toEqual([
      'due b b',
      'leave b',
      'leave c as sibling',
      'leave a as sibling',
      'again a',
      'stop c shutdown',
      'stop b shutdown',
      'stop a shutdown',
    ]);
    await supervisor.startAll();
    await since();
    a.onStart = () => {
      void supervisor.stopAll();
      throw new Error('stopped');
    };
    supervisor.failed(b.fails(), 'b');
    expect((await since()).slice(-3)).toEqual(['stop c shutdown', 'stop b shutdown', 'stop a shutdown']);
    expect(events).toEqual([]);
  });

  it('P29 of a life that is over neither starts a child of the next one nor ends its group', async () => {
    const { supervisor, a, b, since } = handMade({ strategy: 'one-for-all' });
    await supervisor.startAll();
    await since();
    const [first, second] = [deferred(), deferred()];
    b.delayMs = 100;
    b.onPause = () => first.promise;
    supervisor.failed(b.fails(), 'first life');
    await since();
    await supervisor.stopAll();
    await supervisor.startAll();
    b.onPause = () => second.promise;
    supervisor.failed(b.fails(), 'second life');
    await since();
    first.resolve();
    expect(await since()).toEqual([]);
    supervisor.failed(a.fails(), 'waits');
    expect(await since()).toEqual([]);
    second.resolve();
    expect((await since())[0]).toBe('again a');
  });

  it('P29 passes over a child that was stopped since, and one that is no longer specified', async () => {
    const { supervisor, a, b, c, since } = handMade({ strategy: 'one-for-all' });
    await supervisor.startAll();
    await since();
    b.delayMs = 100;
    b.onPause = () => {
      supervisor.children.delete('a');
    };
    c.onStart = () => {
      supervisor.group?.delete(c); // as its stop does
      throw new Error('stopped');
    };
    supervisor.failed(b.fails(), 'b');
    expect((await since()).slice(4)).toEqual(['pause b 100', 'again b', 'again c']);
    expect(a.status).toBe('restarting');
  });
});
