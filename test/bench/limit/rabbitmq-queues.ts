/** The limit on RabbitMQ: amqplib and nothing else. Durable classic queues, persistent messages, a confirm channel, no delay on the socket. */

import { type ChannelModel, connect, type Message } from 'amqplib';
import { type Carrier, runPair } from '../pair.ts';

const PREFETCH = 500;

const open = (url: string): Promise<ChannelModel> => connect(url, { noDelay: true });

/** Publishes to a queue; resolves when the server has it. */
async function publisherOf(
  connection: ChannelModel,
): Promise<(queue: string, text: string) => Promise<void>> {
  const channel = await connection.createConfirmChannel();
  return (queue, text) =>
    new Promise((resolve, reject) => {
      channel.sendToQueue(queue, Buffer.from(text), { persistent: true }, (error: unknown) => {
        if (error === null || error === undefined) resolve();
        else reject(error instanceof Error ? error : new Error('the message was refused'));
      });
    });
}

async function read(
  connection: ChannelModel,
  queue: string,
  take: (text: string) => Promise<void> | void,
): Promise<void> {
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: true });
  await channel.prefetch(PREFETCH);
  let before: Promise<void> = Promise.resolve();
  let last: Message | undefined;
  let unsettled = 0;
  // The last of what is here settles all before it.
  const settle = (): void => {
    if (last !== undefined && unsettled > 0) channel.ack(last, true);
    unsettled = 0;
  };
  await channel.consume(queue, (message) => {
    if (message === null) return;
    before = before.then(async () => {
      await take(message.content.toString());
      last = message;
      if (++unsettled < PREFETCH / 10) setImmediate(settle);
      else settle();
    });
  });
}

const carrier: Carrier = {
  consume: async ({ url, key }, handle) => {
    const connection = await open(url);
    const publish = await publisherOf(connection);
    await read(connection, `${key}.work`, handle);
    await read(connection, `${key}.echo`, (text) => publish(`${key}.answers`, text));
    return () => connection.close();
  },
  produce: async ({ url, key }) => {
    const connection = await open(url);
    const publish = await publisherOf(connection);
    let answered: () => void = () => undefined;
    await read(connection, `${key}.answers`, () => answered());
    return {
      publish: (text) => publish(`${key}.work`, text),
      ask: (text) =>
        new Promise<void>((resolve, reject) => {
          answered = resolve;
          publish(`${key}.echo`, text).catch(reject);
        }),
      close: async () => {
        const channel = await connection.createChannel();
        for (const name of ['work', 'echo', 'answers']) await channel.deleteQueue(`${key}.${name}`);
        await connection.close();
      },
    };
  },
};

await runPair(carrier, import.meta.url);
