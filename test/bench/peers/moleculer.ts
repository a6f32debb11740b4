/** Moleculer: events from one node to another, which nobody confirms, and calls. It knows no priorities. */

import { type Carrier, runPair, type Scene } from '../pair.ts';
import { peer } from '../peer.ts';

interface ServiceBroker {
  createService(schema: object): unknown;
  start(): Promise<void>;
  stop(): Promise<void>;
  emit(event: string, payload: unknown): Promise<unknown>;
  call(action: string, parameters: unknown): Promise<unknown>;
  waitForServices(names: string): Promise<unknown>;
}
interface Moleculer {
  readonly ServiceBroker: new (options: object) => ServiceBroker;
}

async function brokerOf({ url, key }: Scene, nodeID: string): Promise<ServiceBroker> {
  const { ServiceBroker } = await peer<Moleculer>('moleculer');
  return new ServiceBroker({
    namespace: key,
    nodeID,
    transporter: url,
    logger: false,
    requestTimeout: 30_000,
  });
}

const carrier: Carrier = {
  consume: async (scene, handle) => {
    const broker = await brokerOf(scene, 'consumer');
    let before: Promise<void> = Promise.resolve();
    broker.createService({
      name: 'bench',
      events: {
        work: ({ params }: { readonly params: { readonly text: string } }) => {
          before = before.then(() => handle(params.text));
        },
      },
      actions: { echo: ({ params }: { readonly params: { readonly text: string } }) => params.text },
    });
    await broker.start();
    return () => broker.stop();
  },
  produce: async (scene) => {
    const broker = await brokerOf(scene, 'producer');
    await broker.start();
    await broker.waitForServices('bench');
    return {
      publish: (text) => broker.emit('work', { text }),
      ask: (text) => broker.call('bench.echo', { text }),
      close: () => broker.stop(),
    };
  },
};

await runPair(carrier, import.meta.url);
