import { describe, expect, it } from 'vitest';
import { endOnSignals } from '../../runtime/host/end-signals.ts';
import { startSystem } from '../../runtime/system.ts';
import type { SystemOptions } from '../../src/protocol/system.ts';
import { FakeProcess } from '../support/fake-process.ts';
import { HandHost } from '../support/hand-host.ts';
import { deferred, puppet } from '../support/puppet.ts';

async function systemIn(process: FakeProcess, options: Partial<SystemOptions<never>>) {
  const host = Object.assign(new HandHost(), { process });
  const system = await startSystem<never>({ name: 'test', log: false, ...options }, host);
  const settle = async (): Promise<void> => {
    for (let quiet = 0; quiet < 3; quiet++) if (await host.turn()) quiet = 0;
  };
  return { system, host, settle, advance: (ms: number) => host.clock.advance(ms, settle) };
}

describe('a signal', () => {
  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('%s shuts down, then lets the process end with code %i', async (signal, code) => {
    const process = new FakeProcess();
    const { system, settle } = await systemIn(process, { signals: true });
    process.raise(signal);
    expect(process.ends).toEqual([]);
    await settle();
    expect(process.ends).toEqual([{ code, withinMs: 1_000 }]);
    expect(process.exits).toEqual([]);
    expect(process.listening).toEqual([]);
    await expect(system.spawn(puppet())).rejects.toMatchObject({ code: 'ERR_ACTOR_STOPPED' });
  });

  it('lets mailboxes drain for 5,000 ms, or for what the system says', async () => {
    for (const [shutdown, drainMs] of [
      [undefined, 5_000],
      [{ drainMs: 200 }, 200],
    ] as const) {
      const process = new FakeProcess();
      const { system, settle, advance } = await systemIn(process, { signals: ['SIGTERM'], shutdown });
      const ref = await system.spawn(puppet());
      const held = deferred();
      let handled = 0;
      ref.tell('act', () => held.promise);
      ref.tell('act', () => void handled++);
      await settle();
      process.raise('SIGTERM');
      await advance(drainMs - 1);
      expect(system.inspect(ref)?.mailbox.queued).toBe(1);
      await advance(1);
      expect(system.deadLetters.list()).toMatchObject([{ reason: 'stopped' }]);
      held.resolve();
      await settle();
      expect(process.ends).toHaveLength(1);
      expect(handled).toBe(0);
    }
  });

  it('that comes second ends the process at once, whichever it is', async () => {
    const process = new FakeProcess();
    const { system, settle } = await systemIn(process, { signals: true });
    const ref = await system.spawn(puppet());
    const held = deferred();
    ref.tell('act', () => held.promise);
    await settle();
    process.raise('SIGTERM');
    await settle();
    expect(process.exits).toEqual([]);
    process.raise('SIGINT');
    expect(process.exits).toEqual([130]);
    held.resolve();
    await settle();
  });

  it('joins a shutdown that runs already, and is not listened for after it', async () => {
    const process = new FakeProcess();
    const { system, settle } = await systemIn(process, { signals: true });
    const held = deferred();
    system.onShutdown('close', 'held', () => held.promise);
    const ended = system.shutdown();
    process.raise('SIGINT');
    expect(process.exits).toEqual([]);
    held.resolve();
    await settle();
    await ended;
    expect(process.ends).toEqual([{ code: 130, withinMs: 1_000 }]);
    const other = await systemIn(process, { signals: true });
    expect(process.listening).toHaveLength(2);
    const otherEnded = other.system.shutdown();
    await other.settle();
    await otherEnded;
    expect(process.listening).toEqual([]);
    expect(process.ends).toHaveLength(1);
  });

  it('is left alone unless the system says so', async () => {
    for (const signals of [undefined, false, []] as const) {
      const process = new FakeProcess();
      const { system, settle } = await systemIn(process, { signals });
      expect(process.listening).toEqual([]);
      const ended = system.shutdown();
      await settle();
      await ended;
    }
    const one = new FakeProcess();
    const { system, settle } = await systemIn(one, { signals: ['SIGINT', 'SIGINT'] });
    expect(one.listening).toEqual(['SIGINT']);
    const ended = system.shutdown();
    await settle();
    await ended;
  });

  it.each([['SIGKILL'], ['SIGTERM', 'SIGHUP'], 'SIGTERM', 15, [undefined]])(
    'cannot be %j',
    async (signals) => {
      const process = new FakeProcess();
      await expect(systemIn(process, { signals: signals as never })).rejects.toMatchObject({
        code: 'ERR_OPTION_INVALID',
        details: { option: 'signals' },
      });
      expect(process.listening).toEqual([]);
    },
  );

  it('cannot be listened for where there is no process', async () => {
    const starting = startSystem<never>({ name: 'test', log: false, signals: true }, new HandHost());
    await expect(starting).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
  });

  it('ends the process also when the shutdown rejects', async () => {
    const process = new FakeProcess();
    endOnSignals(process, ['SIGTERM'], () => Promise.reject(new Error('cannot happen')));
    process.raise('SIGTERM');
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    expect(process.ends).toMatchObject([{ code: 143 }]);
  });
});
