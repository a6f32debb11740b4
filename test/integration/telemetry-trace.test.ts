import { SpanStatusCode } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';
import { agent, ask, protocol, type Ref, supervisor, tell, topic, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { testSystem } from '../support/test-system.ts';
import { recordTraces } from '../support/traces.ts';

const Checker = protocol('checker', { check: ask(type<string>(), type<number>()) });
const Intake = protocol('intake', { mail: tell(type<string>()) });
const MailIn = topic('mail.in', type<string>());
const Writer = protocol('writer', { write: tell(type<string>()) });

const checker = agent(Checker, { on: { check: (_, text) => text.length } });
/** Fails at the first attempt of each message, and for good at one that is bad. */
const writer = agent(Writer, {
  onFailure: { retry: { attemptsMax: 2 } },
  on: {
    write: (ctx, text) => {
      if (ctx.message.attempt === 1 || text === 'bad')
        throw new TypeError(`cannot write ${text.length} letters`);
    },
  },
});
const intake = agent(Intake, {
  state: (args: { checker: Ref<typeof Checker> }) => args,
  subscribe: [{ topic: MailIn, as: 'mail' }],
  on: {
    mail: async (ctx, text) => {
      await ctx.ask(ctx.state.checker, 'check', text);
      await ctx.publish('mail.out', text);
    },
  },
});

describe('one trace', () => {
  it('goes from the span of a user through publish, turns, nested asks and publishes, retry, restart and dead letter to replay', async () => {
    const traces = recordTraces();
    const root = supervisor({
      children: {
        checker: checker.child(),
        writer: writer.child({ restart: 'permanent' }),
      },
    });
    const { system, advance } = await testSystem({ root });
    await system.spawn(intake, { args: { checker: system.refs.checker } });
    await system.subscribe('mail.out', (text, { headers }) => {
      system.refs.writer.tell('write', String(text), { headers });
    });
    await traces.inside('user', () => system.publish(MailIn, {}, 'bad'));
    await advance(60_000);
    const [letter] = system.deadLetters.list({ reason: 'attempts-exhausted' });
    await system.deadLetters.replay(letter?.id ?? '');
    await advance(60_000);
    await system.shutdown();

    const words = ({ name, attributes, status }: ReadableSpan): string => {
      const attempt = attributes['troupe.attempt'];
      const failed = status.code === SpanStatusCode.ERROR ? ' ERROR' : '';
      return `${name}${attempt === undefined ? '' : ` #${String(attempt)}`}${failed}`;
    };
    expect(traces.tree(words)).toEqual([
      'user',
      '  send mail.in',
      '    process mail.in #1',
      '      send checker',
      '        process checker #1',
      '      send mail.out',
      '        process mail.out #1',
      '          send writer',
      '            process writer #1 ERROR',
      '              restart writer',
      '            process writer #2 ERROR',
      '              dead-letter write ERROR',
      '              restart writer',
      '              send writer',
      '                process writer #3 ERROR',
      '                  dead-letter write ERROR',
      '                  restart writer',
    ]);
    expect(new Set(traces.spans.map((span) => span.spanContext().traceId)).size).toBe(1);
  });
});
