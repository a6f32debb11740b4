/**
 * Where the broker of one kind comes from: a URL in the environment, an installed program, one that is installed now (under CI, or
 * with TROUPE_INSTALL=1), a container if there is a Docker daemon. The first that works is taken; it is looked for once a run.
 */

import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { firstAnswer, freePorts } from './server.ts';

const run = promisify(execFile);

/** Milliseconds to install a server, with its packages. */
const INSTALL_TIMEOUT_MS = 600_000;
/** Milliseconds for a container to answer, its image fetched. */
const CONTAINER_TIMEOUT_MS = 300_000;

/** The brokers that tests may ask for. */
export type BrokerKind = 'redis' | 'rabbitmq' | 'kafka';

/** What was found. A server at a URL is not the tests' own: suites that break it are skipped. */
export type Found =
  | { readonly via: 'url'; readonly url: string }
  | { readonly via: 'installed'; readonly command: string }
  | { readonly via: 'container'; readonly url: string; readonly id: string }
  | { readonly via: 'nothing'; readonly reason: string };

/** How to find the broker of a kind. */
export interface Finding {
  readonly kind: BrokerKind;
  /** The program or folder to start it with, if it is installed. */
  readonly installed: () => string | undefined;
  /** Installs it for this machine. Rejects with the reason if it cannot. */
  readonly install: () => Promise<void>;
  /** A container; absent where a container's own address would not be its address here. */
  readonly container?: {
    readonly image: string;
    readonly port: number;
    readonly url: (port: number) => string;
    /** What to send, so that it answers something. */
    readonly greeting: string;
    readonly parameters?: readonly string[];
  };
}

/** Looks for a broker. Never rejects: what went wrong is the reason why there is none. */
export async function find(finding: Finding, environment: NodeJS.ProcessEnv = process.env): Promise<Found> {
  const variable = `TROUPE_TEST_${finding.kind.toUpperCase()}_URL`;
  const url = environment[variable];
  if (url !== undefined && url !== '') return { via: 'url', url };
  const reasons = [`${variable} is not set`];
  const command = finding.installed() ?? (await installed(finding, environment, reasons));
  if (command !== undefined) return { via: 'installed', command };
  const container = await startContainer(finding, reasons);
  return container ?? { via: 'nothing', reason: reasons.join('; ') };
}

/** A program in the path. */
export function inPath(program: string): string | undefined {
  const paths = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, program));
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Installs a package of Debian or Ubuntu, without starting its service. */
export async function aptInstall(name: string): Promise<void> {
  if (inPath('apt-get') === undefined) throw new Error('there is no apt-get');
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && inPath('sudo') === undefined) throw new Error('only root can install packages');
  const [command, ...first] = isRoot ? ['apt-get'] : ['sudo', '-n', 'apt-get'];
  // With RUNLEVEL=1 a package believes that services are not to be started.
  const options = {
    timeout: INSTALL_TIMEOUT_MS,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
  };
  await run(command, [...first, 'update', '-qq'], options);
  await run(command, [...first, 'install', '-y', '-qq', '--no-install-recommends', name], options);
}

/** Removes a container that `find` started. */
export async function removeContainer(id: string): Promise<void> {
  await run('docker', ['rm', '--force', '--volumes', id]);
}

async function installed(
  { installed: look, install }: Finding,
  environment: NodeJS.ProcessEnv,
  reasons: string[],
): Promise<string | undefined> {
  const mayInstall = isSet(environment['CI']) || isSet(environment['TROUPE_INSTALL']);
  if (!mayInstall) {
    reasons.push('it is not installed, and may not be without CI or TROUPE_INSTALL=1');
    return undefined;
  }
  try {
    await install();
  } catch (error) {
    reasons.push(`it could not be installed: ${messageOf(error)}`);
    return undefined;
  }
  const command = look();
  if (command === undefined) reasons.push('it was installed and is not where it should be');
  return command;
}

async function startContainer({ container }: Finding, reasons: string[]): Promise<Found | undefined> {
  if (container === undefined) return undefined;
  try {
    await run('docker', ['info'], { timeout: 10_000 });
  } catch {
    reasons.push('there is no Docker daemon');
    return undefined;
  }
  const [port = 0] = await freePorts(1);
  try {
    const publish = `127.0.0.1:${port}:${container.port}`;
    const parameters = ['run', '--detach', '--rm', '--publish', publish, container.image];
    const { stdout } = await run('docker', [...parameters, ...(container.parameters ?? [])], {
      timeout: CONTAINER_TIMEOUT_MS,
    });
    const id = stdout.trim();
    const endMs = Date.now() + CONTAINER_TIMEOUT_MS;
    while ((await firstAnswer(port, container.greeting).catch(() => undefined)) === undefined) {
      if (Date.now() < endMs) continue; // asking takes up to 2 s
      await removeContainer(id);
      throw new Error(`its container did not answer within ${CONTAINER_TIMEOUT_MS} ms`);
    }
    return { via: 'container', url: container.url(port), id };
  } catch (error) {
    reasons.push(`Docker: ${messageOf(error)}`);
    return undefined;
  }
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && !['', '0', 'false'].includes(value);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? (error.message.trim().split('\n').at(-1) ?? '') : String(error);
}
