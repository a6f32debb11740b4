// Each comment `error: text` stands above the one line that must not compile; the last line of the message names `text`.
import * as v from 'valibot';
import { z } from 'zod';
import { type Ask, ask, type Protocol, protocol, type Tell, tell, type } from 'troupe';

// A schema that turns a message into something else would make local and remote sends differ.
tell(z.string().trim());
// error: the schema does not accept its own output
tell(z.string().transform(Number));

ask(z.object({ id: z.string() }), z.string());
// error: the schema does not accept its own output
ask(z.object({ on: z.string().transform((text) => new Date(text)) }), z.string());
// error: the schema does not accept its own output
ask(z.string(), v.pipe(v.string(), v.transform(Number)));

// Nobody waits for a schema.
// error: async schemas are refused
tell(v.pipeAsync(v.string(), v.checkAsync(async () => true)));
// error: async schemas are refused
ask(v.pipeAsync(v.string(), v.checkAsync(async () => true)), z.string());

// error: 'Schema<unknown, unknown>'
tell({ id: 'string' });
// error: Expected 2 arguments, but got 1
ask(z.string());

// error: 'AnyMessage'
protocol('numbers', { one: 1 });
// error: 'AnyMessage'
protocol('schemas', { one: z.string() });
// error: Expected 2 arguments, but got 1
protocol('nothing');

// error: "five"
const wrong: Tell<5> = tell(type<'five'>());

// A protocol that is written down must hold what it promises.
interface NotesMessages {
  readonly add: Tell<{ text: string }>;
  readonly read: Ask<{ line: number }, string>;
}
export const Right: Protocol<NotesMessages> = protocol('notes', {
  add: tell(type<{ text: string }>()),
  read: ask(type<{ line: number }>(), z.string()),
});
// error: 'number' is not assignable to type 'string'
export const Wrong: Protocol<NotesMessages> = protocol('notes', {
  add: tell(type<{ text: string }>()),
  read: ask(type<{ line: number }>(), z.number()),
});
