/** What a test file says to get a broker, and hears of the search in `global-setup.ts`. */

import { inject } from 'vitest';
import type { BrokerKind, Found } from './finding.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** What was found, by kind. */
    readonly brokers: Readonly<Partial<Record<BrokerKind, Found>>>;
  }
}

/** A broker, as far as a test file may use it. */
export interface UsableServer {
  /** Whether suites that need a broker of this kind are skipped: `describe.skipIf(server.isAbsent)`. */
  readonly isAbsent: boolean;
  /** Whether suites that kill, stop or fill their server are skipped: it is absent, or not the tests' own. */
  readonly isForeign: boolean;
  /** Where a broker is that somebody else runs; undefined if the tests start their own with `command`. */
  readonly url: string | undefined;
  /** What to start one with. */
  readonly command: string | undefined;
}

/**
 * To be called once in a test file, with the kind as a literal: the last lines of the run's output name the files that
 * had to skip, and find them by this call. With TROUPE_BROKERS=required it throws if there is none, so that the file fails.
 */
export function useServer(kind: BrokerKind): UsableServer {
  const found = inject('brokers')[kind] ?? { via: 'nothing', reason: 'nobody looked for it' };
  if (found.via === 'nothing' && process.env['TROUPE_BROKERS'] === 'required')
    throw new Error(`There is no ${kind}, and TROUPE_BROKERS=required: ${found.reason}.`);
  return {
    isAbsent: found.via === 'nothing',
    isForeign: found.via !== 'installed',
    url: found.via === 'url' || found.via === 'container' ? found.url : undefined,
    command: found.via === 'installed' ? found.command : undefined,
  };
}
