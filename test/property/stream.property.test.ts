/**
 * Goal: a stream keeps the rules of Reactive Streams (reactive-streams.org, 1.0.4) whatever producer, reader and supervisor do: never
 * more than demanded, parts in order, one end, nothing after it, and nobody works for a reader who has gone.
 * Method: random scripts of a producer against random steps of everybody else, compared with a model after each step.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { orders } from '../support/checked-host.ts';
import { deferred, endingOf, type PuppetContext, puppet } from '../support/puppet.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { runTestSystem } from '../support/test-system.ts';

/** What a producer does next: hands on a part, or waits until it is told to go on. */
type Work = 'part' | 'pause';
type Ending = 'return' | 'throw';
type Step = 'next' | 'return' | 'abort' | 'go-on' | 'kill' | 'stop' | 'wait' | 'suspend' | 'resume';

const work = fc.constantFrom<Work>('part', 'part', 'part', 'pause');
const script = fc.record({
  works: fc.array(work, { maxLength: 16, size: 'max' }),
  ending: fc.constantFrom<Ending>('return', 'throw'),
});
const step = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Step>('next') },
  { weight: 4, arbitrary: fc.constant<Step>('go-on') },
  { weight: 4, arbitrary: fc.constantFrom<Step>('wait', 'resume') },
  { weight: 2, arbitrary: fc.constantFrom<Step>('return', 'abort', 'kill', 'stop', 'suspend') },
);

const WAIT_MS = 40;
const TIMEOUT_MS = 95;

/** What everybody sees after each step. */
class Model {
  readonly answers: string[] = [];
  made = 0;
  isClosed = false;
  private readonly works: Work[];
  private readonly ending: Ending;
  private readonly window: number;
  private buffer: number[] = [];
  private asking = 0;
  private end: string | undefined = undefined;
  private isRead = false;
  private isAsked = false;
  /** Why a call that was not made yet will be in vain. */
  private refusal: string | undefined = undefined;
  private isOpen = false;
  private suspensions = 0;
  private isGone = false;
  private isPaused = false;
  private waitedMs = 0;

  constructor(works: readonly Work[], ending: Ending, window: number) {
    this.works = [...works];
    this.ending = ending;
    this.window = window;
  }

  do(each: Step): void {
    switch (each) {
      case 'next':
        this.asking++;
        if (!this.isAsked && this.end === undefined) this.ask();
        break;
      case 'return':
        if (!this.isRead) this.breakOff();
        break;
      case 'abort':
        if (this.isAsked && this.end === undefined) {
          this.buffer = [];
          this.over('aborted');
        } else if (!this.isAsked && this.end === undefined) this.refusal = 'aborted';
        break;
      case 'go-on':
        this.isPaused = false;
        break;
      case 'kill':
      case 'stop':
        if (this.isGone) break;
        // Who is killed lives on: what is queued is the next life's.
        if (each === 'stop') this.isGone = true;
        if (!this.isAsked) {
          if (each === 'stop') this.refusal ??= 'ERR_ACTOR_STOPPED';
        } else if (each === 'stop') this.over('ERR_ACTOR_STOPPED');
        else if (this.isOpen) this.over('ERR_ACTOR_FAILED');
        break;
      case 'wait':
        if (this.isAsked) this.waitedMs += WAIT_MS;
        if (this.waitedMs >= TIMEOUT_MS && this.isAsked) this.over('ERR_STREAM_TIMEOUT');
        break;
      case 'suspend':
        this.suspensions++;
        break;
      case 'resume':
        this.suspensions = Math.max(0, this.suspensions - 1);
        break;
    }
    this.run();
  }

  private ask(): void {
    this.isAsked = true;
    if (this.refusal !== undefined) this.over(this.refusal);
  }

  private breakOff(): void {
    this.buffer = [];
    this.isAsked = true;
    this.isRead = true;
    this.end = 'broken off';
    this.close();
  }

  private over(end: string): void {
    if (this.end !== undefined) return;
    this.end = end;
    this.close();
  }

  private close(): void {
    if (this.isOpen) this.isClosed = true;
    this.isOpen = false;
  }

  private run(): void {
    if (this.isAsked && this.end === undefined && this.suspensions === 0) this.isOpen = true;
    for (;;) {
      while (this.asking > 0 && (this.buffer.length > 0 || this.end !== undefined)) this.answer();
      if (!this.isOpen || this.isPaused || this.buffer.length >= this.window) return;
      const next = this.works.shift();
      if (next === 'part') this.buffer.push(this.made++);
      else if (next === 'pause') this.isPaused = true;
      else this.over(this.ending === 'return' ? 'result' : 'ERR_ACTOR_FAILED');
    }
  }

  private answer(): void {
    this.asking--;
    const part = this.buffer.shift();
    if (part !== undefined) this.answers.push(`${part}`);
    else if (this.isRead || this.end === undefined) this.answers.push('done');
    else {
      this.isRead = true;
      this.answers.push(this.end);
    }
  }
}

/** A producer that follows a script, and says what it does. */
class Producer {
  made = 0;
  begun = 0;
  ended = 0;
  calls = 0;
  readonly problems: string[] = [];
  private gate = deferred();
  private readonly window: number;

  constructor(window: number) {
    this.window = window;
  }

  goOn(): void {
    this.gate.resolve();
    this.gate = deferred();
  }

  async *run(
    ctx: PuppetContext,
    works: readonly Work[],
    ending: Ending,
  ): AsyncGenerator<unknown, unknown, void> {
    this.begun++;
    try {
      for (const each of works) {
        if (each === 'pause') await this.pause(ctx.signal);
        else {
          if (this.made >= this.calls + this.window)
            this.problems.push(`part ${this.made} after ${this.calls} calls, window ${this.window}`);
          yield this.made++;
        }
      }
      if (ending === 'throw') throw new Error('fail');
      return 'result';
    } finally {
      this.ended++;
      if (this.begun !== this.ended) this.problems.push('two turns at once');
    }
  }

  private pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.gate.promise.then(resolve, reject);
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  }
}

/** A part, or the result. */
function shown(value: unknown): string {
  return typeof value === 'number' || typeof value === 'string' ? `${value}` : 'neither';
}

describe('streams', () => {
  it(
    'P125 P126 P127 P128 P129 P130 keep the rules of Reactive Streams, whatever producer, reader and supervisor do',
    async () => {
      const ends = new Map<string, number>();
      let held = 0;
      await fc.assert(
        fc.asyncProperty(
          script,
          fc.array(step, { maxLength: 40, size: 'max' }),
          fc.integer({ min: 1, max: 4 }),
          orders,
          ({ works, ending }, steps, window, order) =>
            runTestSystem({ order }, async ({ system, settle, advance, kernel, clock }) => {
              const producer = new Producer(window);
              const model = new Model(works, ending, window);
              const ref = await system.spawn(puppet(), { shutdownMs: 1, backoff: { minMs: 0 } });
              const control = new AbortController();
              const parts = ref.stream('flow', (ctx) => producer.run(ctx, works, ending), {
                window,
                signal: control.signal,
                timeoutMs: TIMEOUT_MS,
              });
              const answers: string[] = [];
              const next = (): void => {
                producer.calls++;
                const call = producer.calls;
                endingOf(
                  parts.next().then(
                    ({ done, value }) => {
                      expect(answers.length).toBe(call - 1);
                      answers.push(done === true && value === undefined ? 'done' : shown(value));
                    },
                    (error: unknown) => {
                      answers.push(
                        error instanceof Error && 'code' in error ? String(error.code) : 'aborted',
                      );
                    },
                  ),
                );
              };
              for (const each of steps) {
                switch (each) {
                  case 'next':
                    next();
                    break;
                  case 'return':
                    expect(await parts.return()).toEqual({ done: true, value: undefined });
                    break;
                  case 'abort':
                    control.abort(new Error('enough'));
                    break;
                  case 'go-on':
                    producer.goOn();
                    break;
                  case 'kill':
                    void system.kill(ref);
                    break;
                  case 'stop':
                    void system.stop(ref);
                    await settle();
                    await advance(1);
                    break;
                  case 'wait':
                    await advance(WAIT_MS);
                    break;
                  case 'suspend':
                    system.suspend(ref);
                    break;
                  case 'resume':
                    system.resume(ref);
                    break;
                }
                await settle();
                model.do(each);
                expect(answers).toEqual(model.answers);
                expect([producer.made, producer.problems]).toEqual([model.made, []]);
                expect(producer.ended).toBe(model.isClosed ? 1 : 0);
                if (system.inspect(ref)?.turn?.stream?.isHeld === true) held++;
              }
              const last = answers.find((answer) => !/^\d/.test(answer)) ?? 'open';
              ends.set(last, (ends.get(last) ?? 0) + 1);
              await parts.return();
              await settle();
              expect(producer.begun).toBe(producer.ended);
              expect(kernel.asksInFlight).toBe(0);
              await advance(1_000);
              expect([kernel.timeouts.size, clock.pending]).toEqual([0, 0]);
            }),
        ),
        { numRuns: RUNS },
      );
      if (RUNS < 1_000) return;
      expect(held).toBeGreaterThan(300);
      for (const end of [
        'open',
        'result',
        'ERR_ACTOR_FAILED',
        'ERR_ACTOR_STOPPED',
        'ERR_STREAM_TIMEOUT',
        'aborted',
        'done',
      ])
        expect([end, ends.get(end)]).toEqual([end, expect.any(Number)]);
    },
    RUNS_TIMEOUT_MS,
  );
});
