import { agent, ask, protocol, supervisor, tell, type } from 'troupe';
import { withTestSystem } from 'troupe/testing';

const Ledger = protocol('ledger', {
  book: tell(type<{ amount: number }>()),
  total: ask(type<void>(), type<number>()),
});

const stored: number[] = []; // what a database would hold

const ledger = agent(Ledger, {
  onFailure: { retry: { attemptsMax: 3 } },
  on: {
    book: (_, { amount }) => stored.push(amount),
    total: () => stored.reduce((sum, amount) => sum + amount, 0),
  },
});

const root = supervisor({ children: { ledger: ledger.child() } });
const faults = [{ at: 'turn-end', message: 'book', nth: 2 }] as const; // after the work, before its outcome

await withTestSystem({ root, faults }, async (system) => {
  for (const amount of [10, 20, 30]) system.refs.ledger.tell('book', { amount });
  await system.runUntilIdle();
  console.log(stored.join(' ')); // 10 20 20 30: the retry books again, for this ledger does not look first
});
