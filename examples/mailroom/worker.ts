/**
 * A worker process of the mailroom: a node with readers, and nothing else. It lives as long as the process that started it wants it to, and
 * tells that one when it has joined.
 */
import { createSystem, supervisor } from 'troupe';
import { reader } from './agents/reader.ts';
import { brokerAt } from './broker.ts';

/** Mails that a worker reads at the same time: it has one core. */
const READERS = 2;

const { MAILROOM_BROKER: url = '', MAILROOM_PREFIX: prefix = '', MAILROOM_NODE: node = '' } = process.env;
const root = supervisor({
  // Poison mail says nothing about the next one (tree.ts).
  intensity: { max: Number.POSITIVE_INFINITY },
  restartsWithoutProgressMax: Number.POSITIVE_INFINITY,
  children: { readers: reader.pool({ size: READERS, backoff: { minMs: 5, maxMs: 50 } }) },
});
const system = await createSystem({
  name: 'mailroom',
  node,
  broker: brokerAt(url, prefix),
  root,
  log: false,
});
process.once('disconnect', () => void system.shutdown());
process.send?.('joined');
