/** A process that opens a broker on the URL it is given, uses it, closes it, and ends when nothing keeps it. */

import { rabbitmq } from '../../adapters/rabbitmq/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';

const [, , url = '', prefix = ''] = process.argv;
const broker = rabbitmq(url, { prefix });
await broker.open({ name: 'short', incarnation: 'short1' }, systemHost);
await broker.consume({ kind: 'inbox' }, { windows: [1, 1, 1, 1, 1, 1], receive: () => undefined });
const [result] = await broker.publish([
  { to: { kind: 'node', node: 'short' }, lane: 0, bytes: new Uint8Array(1) },
]);
await broker.close();
console.log(result);
