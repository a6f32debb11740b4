import { z } from 'zod';
import { agent, ask, createSystem, dynamicSupervisor, protocol, type Ref, supervisor, tell } from 'troupe';

const Bell = protocol('bell', { ring: tell() });
const on = { ring: () => undefined };
const bell = agent(Bell, { on });
const tuned = agent(Bell, { state: (args: { pitch: number }) => ({ pitch: args.pitch }), on });

// The options of an agent.
// error: 'turnTimeOutMs' does not exist
agent(Bell, { turnTimeOutMs: 5, on });
// error: 'capcity' does not exist
agent(Bell, { mailbox: { capcity: 5 }, on });
// error: '"drop"' is not assignable
agent(Bell, { mailbox: { overflow: 'drop' }, on });
// error: 'string' is not assignable to type 'number'
agent(Bell, { mailbox: { capacity: '5' }, on });
// error: '"again"' is not assignable
agent(Bell, { decide: () => 'again', on });
// error: '"retry"' is not assignable
agent(Bell, { onFailure: 'retry', on });
// error: 'attempts' does not exist
agent(Bell, { onFailure: { retry: { attempts: 3 } }, on });
// error: '"never"' is not assignable
agent(Bell, { validate: 'never', on });
// error: Property 'on' is missing
agent(Bell, { turnTimeoutMs: 5 });
// error: Expected 2 arguments, but got 1
agent(Bell);
// error: 'string' is not assignable to parameter
agent('bell', { on });
// error: '"ask"' is not assignable to type '"tell"'
agent(Bell, { internal: { tick: ask(z.string(), z.string()) }, on: null as never });

// Children and trees.
// error: Expected 1 arguments, but got 0
tuned.child();
// error: Property 'args' is missing
tuned.child({ restart: 'permanent' });
// error: 'string' is not assignable to type 'number'
tuned.child({ args: { pitch: 'high' } });
// error: '{ pitch: number; }' is not assignable
bell.child({ args: { pitch: 1 } });
// error: '"always"' is not assignable
bell.child({ restart: 'always' });
// error: '"kill"' is not assignable
bell.child({ shutdownMs: 'kill' });
// error: 'string' is not assignable to type 'boolean | undefined'
bell.child({ significant: 'yes' });
// error: 'min' does not exist
bell.child({ backoff: { min: 5 } });
// error: is missing the following properties from type
supervisor({ children: { bell } });
// error: '"one-for-two"' is not assignable
supervisor({ strategy: 'one-for-two', children: {} });
// error: 'maximum' does not exist
supervisor({ intensity: { maximum: 3 }, children: {} });
// error: '"any"' is not assignable
supervisor({ autoShutdown: 'any', children: {} });
// error: 'childrenMax' does not exist
supervisor({ childrenMax: 3, children: {} });
// error: 'children' does not exist
dynamicSupervisor({ children: {} });
// error: Property 'children' is missing
supervisor({ strategy: 'one-for-one' });

// Pools.
// error: Expected 1 arguments, but got 0
bell.pool();
// error: 'string' is not assignable to type 'number'
bell.pool({ size: '4' });
// error: 'string' is not assignable to type 'number'
tuned.pool({ size: 4, args: { pitch: 'high' } });
// error: Property 'key' is missing
bell.pool({ size: 4, routing: 'sticky' });
// error: '"fastest"' is not assignable
bell.pool({ size: 4, routing: 'fastest' });
// error: 'number' is not assignable to type 'string'
bell.pool({ size: 4, routing: 'consistent-hash', key: () => 5 });
// error: 'sise' does not exist
bell.pool({ size: 4, sise: 4 });

// The system.
const root = supervisor({ children: { bell: bell.child(), maybe: Math.random() > 2 ? bell.child() : undefined } });
const system = await createSystem({ name: 'tower', root });
system.refs.bell.tell('ring');
// error: Property 'bel' does not exist
system.refs.bel.tell('ring');
// error: 'system.refs.maybe' is possibly 'undefined'
system.refs.maybe.tell('ring');
// error: Property 'name' is missing
createSystem({ asksInFlightMax: 5 });
// error: is missing the following properties from type 'AnySupervisor'
createSystem({ name: 'tower', root: bell.child() });
// error: Expected 2 arguments, but got 1
system.spawn(tuned);
// error: Property 'pitch' is missing
system.spawn(tuned, { args: {} });
// error: 'significant' does not exist
system.spawn(bell, { significant: true });
// error: is missing the following properties from type 'ChildSpec<AnyProtocol>'
system.supervisor('/root').startChild('bell', bell);
// error: 'title' does not exist
system.spawn(bell, { title: 'big' });
// error: 'void' is not assignable to type 'number'
const ref: Ref<typeof Bell> = system.ref(protocol('other', { ring: tell(z.number()) }), 'bell');
// error: is possibly 'undefined'
system.lookup(Bell, 'bell').tell('ring');
system.spawn(bell.pool({ size: 2 }), { name: 'bells' });
// error: 'string' is not assignable to parameter of type 'number'
system.resize(system.refs.bell, '4');
// error: 'string' is not assignable to parameter of type 'AnyRef'
system.stop('/user/bell');
