/**
 * A Kafka of the tests' own: one KRaft node, broker and controller at once, with few threads and a small heap. Its jars come from
 * Maven once (`kafka/pom.xml`) and are kept beside other caches of the user. Clients go where a server says it is, not where they
 * asked, so a proxy needs a listener of its own that says the proxy's port.
 */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Finding, inPath } from './finding.ts';
import { firstAnswer, freePorts, serverFolder, startServer, type TestServer } from './server.ts';

const run = promisify(execFile);

const POM = fileURLToPath(new URL('./kafka/pom.xml', import.meta.url));
/** Milliseconds for Maven to fetch 43 MB. */
const MAVEN_TIMEOUT_MS = 600_000;
/** Milliseconds to format a folder: a JVM starts once. */
const FORMAT_TIMEOUT_MS = 60_000;
/** ApiVersions, version 0, without a client's name: the first thing that any client asks. */
const API_VERSIONS = Buffer.from('0000000a0012000000000001ffff', 'hex');

/** Sizes of heap, threads and files for a server with tens of clients that shares two cores with them. */
const JVM = ['-Xms128m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto'];

/** How a Kafka differs from the usual one. */
export interface KafkaOptions {
  /** The folder with the jars; `kafkaFolder()` unless said. */
  readonly command?: string;
  /** Further listeners. */
  readonly listeners?: readonly KafkaListener[];
  /** The user of listeners that want one. */
  readonly user?: { readonly name: string; readonly password: string };
  /** Settings as in server.properties, over the usual ones. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A port that Kafka listens on. */
export interface KafkaListener {
  readonly port: number;
  /** The port that it tells clients: that of a proxy, or its own. */
  readonly advertisedPort: number;
  /** Whether clients say who they are (SASL PLAIN). */
  readonly wantsUser?: boolean;
  /** Whether it is TLS: PEM files, the server's key and certificate in one. Clients show a certificate of that authority. */
  readonly tls?: { readonly keyAndCertFile: string; readonly authorityFile: string };
}

/** The folder with the jars of the version that the pom names; undefined before they were fetched. */
export function kafkaFolder(): string | undefined {
  const folder = cacheFolder();
  return existsSync(folder) && inPath('java') !== undefined ? folder : undefined;
}

/** Where a Kafka comes from. A container would tell clients its own address, so there is none. */
export const KAFKA: Finding = { kind: 'kafka', installed: kafkaFolder, install };

/** Starts a Kafka. It takes some seconds. */
export async function startKafka(options: KafkaOptions = {}): Promise<TestServer> {
  const jars = options.command ?? kafkaFolder();
  if (jars === undefined) throw new Error('Kafka is not installed: there are no jars, or there is no Java.');
  const folder = await serverFolder('kafka');
  const [port = 0, controller = 0] = await freePorts(2);
  const listeners: Listener[] = [
    { name: 'PLAINTEXT', port, advertised: port, protocol: 'PLAINTEXT' },
    ...(options.listeners ?? []).map((own, place) => ({
      name: `LINK${place}`,
      port: own.port,
      advertised: own.advertisedPort,
      protocol: protocolOf(own),
    })),
  ];
  const properties = {
    ...usual(folder, controller, listeners),
    ...signIn(options.user, listeners),
    ...certificates(options.listeners ?? []),
    ...options.settings,
  };
  const file = join(folder, 'server.properties');
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`);
  await writeFile(file, lines.join(''), { mode: 0o600 });
  await format(jars, file);
  return startServer({
    kind: 'kafka',
    url: `kafka://127.0.0.1:${port}`,
    port,
    folder,
    program: {
      command: 'java',
      parameters: [...JVM, '-cp', join(jars, '*'), 'kafka.Kafka', file],
      environment: { CLASSPATH: '' },
    },
    isReady: async () => (await firstAnswer(port, API_VERSIONS)).length > 0,
  });
}

interface Listener {
  readonly name: string;
  readonly port: number;
  readonly advertised: number;
  readonly protocol: string;
}

function usual(
  folder: string,
  controller: number,
  listeners: readonly Listener[],
): Readonly<Record<string, string>> {
  const at = (name: string, port: number): string => `${name}://127.0.0.1:${port}`;
  const control = at('CONTROLLER', controller);
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: [...listeners.map(({ name, port }) => at(name, port)), control].join(','),
    'advertised.listeners': listeners.map(({ name, advertised }) => at(name, advertised)).join(','),
    'listener.security.protocol.map': [
      ...listeners.map(({ name, protocol }) => `${name}:${protocol}`),
      'CONTROLLER:PLAINTEXT',
    ].join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': join(folder, 'data'),
    'auto.create.topics.enable': 'false',
    'num.network.threads': '1',
    'num.io.threads': '4',
    'log.cleaner.dedupe.buffer.size': '4194304',
    // One node holds the only copy.
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    // After SIGKILL it may not come back before its last life counts as over.
    'broker.session.timeout.ms': '1000',
    'broker.heartbeat.interval.ms': '200',
    // Tests do not wait for members that might come, and kill some.
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '500',
  };
}

function signIn(
  user: KafkaOptions['user'],
  listeners: readonly Listener[],
): Readonly<Record<string, string>> {
  if (user === undefined) return {};
  const module = 'org.apache.kafka.common.security.plain.PlainLoginModule';
  const login = `${module} required user_${user.name}="${user.password}";`;
  const own = listeners.filter(({ protocol }) => protocol === 'SASL_PLAINTEXT');
  return Object.fromEntries([
    ['sasl.enabled.mechanisms', 'PLAIN'],
    ...own.map(({ name }) => [`listener.name.${name.toLowerCase()}.plain.sasl.jaas.config`, login]),
  ]);
}

function protocolOf({ wantsUser, tls }: KafkaListener): string {
  if (tls !== undefined) return 'SSL';
  return wantsUser === true ? 'SASL_PLAINTEXT' : 'PLAINTEXT';
}

function certificates(listeners: readonly KafkaListener[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    listeners.flatMap(({ tls }, place) => {
      if (tls === undefined) return [];
      const at = `listener.name.link${place}.ssl`;
      return [
        [`${at}.keystore.type`, 'PEM'],
        [`${at}.keystore.location`, tls.keyAndCertFile],
        [`${at}.truststore.type`, 'PEM'],
        [`${at}.truststore.location`, tls.authorityFile],
        [`${at}.client.auth`, 'required'],
      ];
    }),
  );
}

async function format(jars: string, file: string): Promise<void> {
  const tool = [...JVM, '-cp', join(jars, '*'), 'kafka.tools.StorageTool'];
  const id = Buffer.from(createHash('sha256').update(file).digest().subarray(0, 16)).toString('base64url');
  // A cluster's id may not begin like an option.
  const options = { timeout: FORMAT_TIMEOUT_MS };
  await run('java', [...tool, 'format', '-t', id.replace(/^-/, 'A'), '-c', file], options);
}

async function install(): Promise<void> {
  const missing = ['mvn', 'java'].find((program) => inPath(program) === undefined);
  if (missing !== undefined) throw new Error(`there is no ${missing}`);
  const folder = cacheFolder();
  const unfinished = `${folder}.${process.pid}`;
  await mkdir(unfinished, { recursive: true });
  try {
    const goal = [
      'dependency:copy-dependencies',
      '-DincludeScope=runtime',
      `-DoutputDirectory=${unfinished}`,
    ];
    await run('mvn', ['--quiet', '--batch-mode', '--file', POM, ...goal], { timeout: MAVEN_TIMEOUT_MS });
    // Two that install at once do the same: the second one's is thrown away.
    await rename(unfinished, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** By the pom's contents: another version is another folder. */
function cacheFolder(): string {
  const root = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const version = createHash('sha256').update(readFileSync(POM)).digest('hex').slice(0, 12);
  return join(root, 'troupe-test-servers', `kafka-${version}`);
}
