/**
 * Before all tests: looks for each broker, and tells the test files. After them: says which files had to skip, and why, as the last
 * thing in the output. Servers are started by the files that use them.
 */

import { readFileSync } from 'node:fs';
import type { TestProject } from 'vitest/node';
import { type BrokerKind, type Finding, type Found, find, removeContainer } from './servers/finding.ts';
import { KAFKA } from './servers/kafka.ts';
import { RABBITMQ } from './servers/rabbitmq.ts';
import { REDIS } from './servers/redis.ts';

const FINDINGS: readonly Finding[] = [REDIS, RABBITMQ, KAFKA];

/** Vitest calls it. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const brokers: Partial<Record<BrokerKind, Found>> = {};
  for (const finding of FINDINGS) brokers[finding.kind] = await find(finding);
  project.provide('brokers', brokers);
  return async () => {
    const files = project.vitest.state.getTestModules().map((module) => module.moduleId);
    for (const line of skipLines(brokers, files, (path) => readFileSync(path, 'utf8')))
      console.log(line.replaceAll(`${project.config.root}/`, ''));
    for (const found of Object.values(brokers))
      if (found.via === 'container') await removeContainer(found.id);
  };
}

/** What to say of the files that ran: one line for each kind of broker that some of them use and did not get. */
export function skipLines(
  brokers: Readonly<Partial<Record<BrokerKind, Found>>>,
  files: readonly string[],
  read: (path: string) => string,
): string[] {
  return Object.entries(brokers).flatMap(([kind, found]) => {
    const users = files.filter((path) => read(path).includes(`useServer('${kind}')`)).toSorted();
    if (users.length === 0 || found.via === 'installed') return [];
    const names = users.join(', ');
    return found.via === 'nothing'
      ? [`SKIPPED, there is no ${kind} (${found.reason}): ${names}`]
      : [`SKIPPED, the ${kind} is not the tests' own: what kills or fills it in ${names}`];
  });
}
