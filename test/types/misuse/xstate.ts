import { ask, protocol, stream, tell, type } from 'troupe';
import { later, machineAgent } from 'troupe/xstate';
import { createMachine, setup } from 'xstate';
import { z } from 'zod';

const Order = protocol('order', {
  place: tell(z.object({ amount: z.number() })),
  cancel: tell(),
  status: ask(type<void>(), z.enum(['open', 'closed'])),
});

type OrderEvent = { type: 'place'; amount: number } | { type: 'cancel' } | { type: 'status' };
const types = {} as { context: { amount: number }; events: OrderEvent; input: { amount: number } };
const order = setup({ types }).createMachine({
  context: ({ input }) => input,
  initial: 'open',
  states: { open: { on: { cancel: 'closed' } }, closed: {} },
});

const right = machineAgent(Order, order, {
  reply: { status: (snapshot) => (snapshot.matches('open') ? 'open' : later) },
});
right.child({ args: { amount: 1 } });

// What does not fit.
const Paid = protocol('paid', { cancel: tell(), pay: tell() });
machineAgent(
  Paid,
  // error: the machine has no event 'pay', which the protocol has as a message
  order,
  {},
);
const Priced = protocol('priced', { place: tell(z.object({ amount: z.string() })) });
machineAgent(
  Priced,
  // error: the event 'place' of the machine does not take the payload of that message
  order,
  {},
);
const Bare = protocol('bare', { place: tell() });
machineAgent(
  Bare,
  // error: the event 'place' of the machine does not take the payload of that message
  order,
  {},
);
const Asked = protocol('asked', { price: ask(z.object({ id: z.string() }), z.number()) });
machineAgent(
  Asked,
  // error: the machine has no event 'price', which the protocol has as a message
  order,
  { reply: { price: () => 1 } },
);
const Told = protocol('told', { cancel: tell(), explain: stream(z.object({ id: z.string() }), z.string()) });
machineAgent(
  Told,
  // error: a machine cannot answer 'explain': it takes what is told or asked
  order,
  {},
);

const untyped = createMachine({});
const Typed = protocol('typed', { go: tell(z.object({ type: z.string() })) });
machineAgent(
  Typed,
  // error: the payload of 'go' has a field 'type': that is the name of the event
  untyped,
  {},
);
const Either = protocol('either', { go: tell(z.object({ type: z.string() }).or(z.object({ n: z.number() }))) });
machineAgent(
  Either,
  // error: the payload of 'go' has a field 'type': that is the name of the event
  untyped,
  {},
);
const Text = protocol('text', { go: tell(z.string()) });
machineAgent(
  Text,
  // error: the payload of 'go' is no object: its fields would be those of the event
  untyped,
  {},
);
const Maybe = protocol('maybe', { go: tell(z.object({ n: z.number() }).or(z.number())) });
machineAgent(
  Maybe,
  // error: the payload of 'go' is no object: its fields would be those of the event
  untyped,
  {},
);
const List = protocol('list', { go: tell(z.array(z.string())) });
machineAgent(
  List,
  // error: the payload of 'go' is no plain object: its fields would be those of the event
  untyped,
  {},
);
const Anything = protocol('anything', { go: tell(z.any()) });
machineAgent(
  Anything,
  // error: the payload of 'go' may be anything: say what object it is
  untyped,
  {},
);

// The answers.
machineAgent(
  Order,
  order,
  // error: Property 'reply' is missing
  {},
);
// error: Property 'status' is missing
machineAgent(Order, order, { reply: {} });
machineAgent(Order, order, {
  reply: {
    // error: '"shut"' is not assignable
    status: () => 'shut',
  },
});
machineAgent(Order, order, {
  reply: {
    // error: 'undefined' is not assignable
    status: () => undefined,
  },
});
machineAgent(Order, order, {
  reply: {
    // error: '"away"' is not assignable
    status: (snapshot) => (snapshot.matches('away') ? 'open' : 'closed'),
  },
});

// The other options.
machineAgent(Order, order, {
  reply: { status: () => 'open' },
  // error: Property 'amount' is missing
  input: () => ({}),
});
machineAgent(Order, order, {
  reply: { status: () => 'open' },
  // error: 'mailboxes' does not exist
  mailboxes: {},
});
// error: Property 'amount' is missing
right.child({ args: {} });
// error: Expected 1 arguments, but got 0
right.child();
