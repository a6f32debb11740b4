import { z } from 'zod';
import { ask, protocol, type Ref, tell } from 'troupe';

const Desk = protocol('desk', {
  lookup: ask(z.object({ id: z.string() }), z.object({ name: z.string() })),
  note: tell(z.object({ id: z.string(), kind: z.enum(['in', 'out']) })),
  ring: tell(),
  anything: tell(z.any()),
  something: tell(z.unknown()),
});
declare const desk: Ref<typeof Desk>;

desk.tell('note', { id: '1', kind: 'in' }, { priority: 'high' });
// error: '"notes"' is not assignable
desk.tell('notes', { id: '1', kind: 'in' });
// error: '"lookup"' is not assignable
desk.tell('lookup', { id: '1' });
// error: '"note"' is not assignable
desk.ask('note', { id: '1', kind: 'in' });
// error: '"toString"' is not assignable
desk.send('toString');
// error: 'number' is not assignable to type 'string'
desk.tell('note', { id: 1, kind: 'in' });
// error: '"up"' is not assignable
desk.tell('note', { id: '1', kind: 'up' });
// error: Property 'kind' is missing
desk.tell('note', { id: '1' });
// error: 'colour' does not exist
desk.tell('note', { id: '1', kind: 'in', colour: 'red' });
// error: Expected 2-3 arguments, but got 1
desk.tell('note');
// error: Expected 2-3 arguments, but got 1
desk.ask('lookup');

// "No payload" is `tell()` or void, and nothing else.
desk.tell('ring');
// error: '{}' is not assignable
desk.tell('ring', {});
// error: Expected 2-3 arguments, but got 1
desk.tell('anything');
// error: Expected 2-3 arguments, but got 1
desk.send('something');

// error: 'prio' does not exist
desk.tell('ring', undefined, { prio: 'high' });
// error: '"important"' is not assignable
desk.tell('ring', undefined, { priority: 'important' });
// error: 'timeoutMs' does not exist
desk.tell('ring', undefined, { timeoutMs: 5 });
// error: 'string' is not assignable to type 'number'
desk.ask('lookup', { id: '1' }, { timeoutMs: '5s' });
// error: properties from type 'AbortSignal'
desk.ask('lookup', { id: '1' }, { signal: new AbortController() });

// A verdict is no promise, a send no verdict.
// error: Property 'then' does not exist
desk.tell('ring').then(() => undefined);
// error: have no overlap
if (desk.tell('ring') === 'queued') desk.tell('ring');
// error: 'Admission'
const verdict: import('troupe').Admission = desk.send('ring');

// error: Property 'nam' does not exist
desk.ask('lookup', { id: '1' }).then((found) => found.nam);

// Refs are told apart by their protocols.
const Bell = protocol('bell', { ring: tell() });
const Horn = protocol('horn', { ring: tell(z.number()) });
declare const bell: Ref<typeof Bell>;
const smaller: Ref<typeof Bell> = desk;
// error: 'number' is not assignable to type 'void'
const horn: Ref<typeof Horn> = bell;
const Loud = protocol('loud', { ring: tell(), blow: tell() });
// error: Property 'blow' is missing
const loud: Ref<typeof Loud> = bell;
