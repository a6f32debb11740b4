import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MessageBus } from 'troupe';
import { openLmdbStore } from 'troupe/store';

interface Deposit {
  readonly account: string;
  readonly cents: number;
}

const given = process.argv[2];
if (given === undefined) await runTwoLives();
else await live(given);

/** One life of the process: it remembers what the store holds, then works until it is killed. */
async function live(folder: string): Promise<void> {
  const store = await openLmdbStore({ folder }); // synced to disk before publish resolves
  const bus = await MessageBus.connect({ store });
  const balances = new Map<string, number>();
  const book = ({ account, cents }: Deposit): void => {
    balances.set(account, (balances.get(account) ?? 0) + cents);
  };

  // Each message once, oldest first; { fromMs, toMs } would choose a time, 'deposit.anna' one topic.
  const count = await bus.replay<Deposit>('deposit.*', ({ payload }) => book(payload));
  console.log(`replayed ${count}:`, Object.fromEntries(balances));

  await bus.subscribe<Deposit>('deposit.*', ({ payload }) => {
    book(payload);
    if (payload.cents === 666) process.kill(process.pid, 'SIGKILL'); // nothing is flushed, closed or said
  });
  for (const cents of count === 0 ? [100, 200, 666, 400] : [500]) {
    await bus.publish('deposit.anna', { account: 'anna', cents }, { confirm: 'handled' });
    console.log(`booked ${cents}:`, Object.fromEntries(balances));
  }
  await bus.close(); // before its store
  await store.close();
}

/** Runs this file as two processes, one after the other, on one folder. */
async function runTwoLives(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'replay-'));
  try {
    for (const life of ['first', 'second']) {
      console.log(`${life} life`);
      const arguments_ = [...process.execArgv, fileURLToPath(import.meta.url), folder];
      const { signal } = spawnSync(process.execPath, arguments_, { stdio: 'inherit' });
      console.log(signal === null ? 'ended' : `killed by ${signal}`);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}
