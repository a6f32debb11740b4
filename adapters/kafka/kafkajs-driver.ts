/**
 * The driver over kafkajs. Each client has sockets of its own, so that a fetch that waits holds up nothing else, and closing it
 * ends all that is under way. kafkajs is loaded when the first client connects; it logs nothing, since what it would log
 * may tell of credentials.
 */

import type { ConnectionOptions } from 'node:tls';
import type { KafkaConfig } from 'kafkajs';
import type { Host } from '../../src/protocol/clock.ts';
import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { type KafkaDriver, KafkaFailure, type TopicSpec } from './driver.ts';
import { KafkajsClient } from './kafkajs-client.ts';
import { failureOf } from './kafkajs-failures.ts';
import { type InsideCluster, insideCluster, quieten } from './kafkajs-inside.ts';
import { KafkajsMembership } from './kafkajs-membership.ts';
import { Sockets } from './kafkajs-sockets.ts';
import type { KafkaSettings } from './options.ts';

type Kafkajs = typeof import('kafkajs');

/** Milliseconds between looks for a topic that was made a moment ago. */
const AGAIN_MS = 20;

let loaded: Promise<Kafkajs> | undefined;

/** kafkajs as a driver. @internal */
export function kafkajsDriver(
  settings: KafkaSettings,
  host: Host,
  { clientId, home }: { readonly clientId: string; readonly home: TopicSpec },
): KafkaDriver {
  const open = async (lost: (failure: KafkaFailure) => void): Promise<KafkajsClient> => {
    const { Kafka: Client } = await kafkajs();
    // The options have the names and meanings of Node's.
    const tls = (): ConnectionOptions | undefined =>
      settings.credentials().tls as ConnectionOptions | undefined;
    const sockets = new Sockets(tls, host.clock, lost);
    const cluster = insideCluster(new Client(configuration(settings, clientId, sockets)));
    const client = new KafkajsClient(cluster, settings, () => sockets.close());
    let refusal: KafkaFailure | undefined;
    const refused = (failure: KafkaFailure): void => {
      refusal = failure;
    };
    try {
      const { connectTimeoutMs } = settings;
      const arriving = arrive(cluster, client, { home, host, refused });
      await settledWithin(host.clock, connectTimeoutMs, arriving, () => {
        const why = refusal === undefined ? '' : `: ${refusal.message}`;
        throw new KafkaFailure('not-sent', `no connection within ${connectTimeoutMs} ms${why}`);
      });
      return client;
    } catch (error) {
      client.close();
      if (sockets.refusal !== undefined) throw sockets.refusal;
      throw isTroupeError(error) ? error : failureOf(error, settings);
    }
  };
  return {
    connect: open,
    join: async (request) => {
      const { AssignerProtocol: words } = await kafkajs();
      const answerMs = settings.publishTimeoutMs;
      return new KafkajsMembership({ request, words, host, answerMs, connect: () => open(nothing) }).begin();
    },
  };
}

async function kafkajs(): Promise<Kafkajs> {
  loaded ??= load();
  try {
    return await loaded;
  } catch (error) {
    loaded = undefined;
    throw error;
  }
}

async function load(): Promise<Kafkajs> {
  try {
    const module = await import('kafkajs');
    // Not a literal: it has no types.
    const inside: string = 'kafkajs/src/network/requestQueue/index.js';
    const requestQueue = (await import(inside).catch(() => undefined)) as
      | { readonly default?: unknown }
      | undefined;
    quieten(requestQueue?.default);
    return module;
  } catch (cause) {
    throw new TroupeError('ERR_DRIVER_MISSING', { package: 'kafkajs' }, { cause });
  }
}

function configuration(settings: KafkaSettings, clientId: string, sockets: Sockets): KafkaConfig {
  const { addresses, connectTimeoutMs, publishTimeoutMs } = settings;
  const { tls, sasl } = settings.credentials();
  return {
    brokers: [...addresses],
    clientId,
    ssl: tls !== undefined,
    ...(sasl === undefined ? {} : { sasl: { ...sasl } as NonNullable<KafkaConfig['sasl']> }),
    connectionTimeout: connectTimeoutMs,
    authenticationTimeout: connectTimeoutMs,
    requestTimeout: publishTimeoutMs,
    // As many attempts as there are addresses to begin with; all else is tried again by us.
    retry: { retries: addresses.length, initialRetryTime: 20, maxRetryTime: 200 },
    socketFactory: sockets.open,
    // The level alone would not do: KAFKAJS_LOG_LEVEL in the environment goes over it.
    logCreator: () => () => undefined,
  };
}

/** Until it can be asked for anything. Tells what keeps it from that. */
async function arrive(
  cluster: InsideCluster,
  client: KafkajsClient,
  {
    home,
    host,
    refused,
  }: { readonly home: TopicSpec; readonly host: Host; readonly refused: (failure: KafkaFailure) => void },
): Promise<void> {
  const tell = (error: unknown): void => {
    const failure = failureOf(error);
    if (failure.kind !== 'refused') throw error;
    refused(failure);
  };
  await cluster.connect();
  // With a topic of its own kafkajs asks for that one, and not for every topic of the cluster.
  cluster.targetTopics.add(home.name);
  for (;;) {
    try {
      await cluster.refreshMetadata();
      return;
    } catch (error) {
      if (failureOf(error).kind === 'no-topic') {
        // Any server passes it on to the one that decides.
        const server = await cluster.brokerPool.findConnectedBroker();
        await client.createTopic(home, server).catch(tell);
      } else tell(error);
    }
    // Whoever waits gives up after a while.
    await pause(host.clock, AGAIN_MS);
  }
}

function nothing(): void {
  // Whoever asks hears of it.
}
