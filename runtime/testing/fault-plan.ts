/**
 * Faults by plan: the nth start of an agent fails, the nth turn of a message throws, hangs or ignores its abort, the actor
 * crashes just before or after a message gets in. A plan names points, never wall-clock times, so it replays.
 */

import {
  choiceOption,
  integerOption,
  invalidOption,
  limitOption,
  objectOption,
} from '../../src/protocol/options.ts';
import type { AnyProtocol } from '../../src/protocol/protocol.ts';
import type { AnyRef } from '../../src/protocol/ref.ts';

/**
 * Where a fault strikes: in `state`; before a handler runs; after it is done and before that is its outcome; in `onRestart`;
 * in `onStop`; before or after a mailbox takes a message.
 */
export type FaultPoint =
  | 'start'
  | 'turn-start'
  | 'turn-end'
  | 'restart'
  | 'stop'
  | 'before-accept'
  | 'after-accept';

/** What a fault does: throws; waits until its signal aborts; or waits for ever, whatever the signal says. */
export type FaultDeed = 'throw' | 'hang' | 'ignore-abort';

const POINTS: readonly FaultPoint[] = [
  'start',
  'turn-start',
  'turn-end',
  'restart',
  'stop',
  'before-accept',
  'after-accept',
];
const DEEDS: readonly FaultDeed[] = ['throw', 'hang', 'ignore-abort'];

/** A fault: where, to whom, when and what. */
export interface FaultOptions {
  readonly at: FaultPoint;
  /** Only agents of this protocol. */
  readonly protocol?: AnyProtocol | undefined;
  /** Only this actor: its path (`/user/judge`), or a ref. */
  readonly actor?: string | AnyRef | undefined;
  /** Only messages of this name. */
  readonly message?: string | undefined;
  /** Strikes the nth time only; 1 unless said: the first time from now. */
  readonly nth?: number | undefined;
  /** Strikes so many times in a row; 1 unless said; may be `Infinity`. */
  readonly times?: number | undefined;
  /** `throw` unless said. At `before-accept` and `after-accept` the actor crashes, and nothing else can be said. */
  readonly does?: FaultDeed | undefined;
  /** What is thrown; an error that says where unless given. */
  readonly error?: unknown;
}

/** A fault that was planned. */
export interface Fault {
  /** How often it has struck. */
  readonly hits: number;
  /** It strikes no more. */
  remove(): void;
}

/** Where the engine is. */
export interface Spot {
  readonly at: FaultPoint;
  readonly path: string;
  readonly protocol: AnyProtocol;
  readonly message: string | undefined;
}

/** What is to be done at a spot. */
export interface Strike {
  readonly does: FaultDeed;
  readonly error: unknown;
}

interface Planned extends Fault {
  hits: number;
  seen: number;
  readonly at: FaultPoint;
  readonly protocol: unknown;
  readonly path: string | undefined;
  readonly message: unknown;
  readonly nth: number;
  readonly times: number;
  readonly does: FaultDeed;
  readonly given: Readonly<Record<string, unknown>>;
}

const KNOWN = ['at', 'protocol', 'actor', 'message', 'nth', 'times', 'does', 'error'];

/** The faults of one system. */
export class FaultPlan {
  private readonly planned = new Set<Planned>();

  /** Plans a fault. Throws `ERR_OPTION_INVALID`. */
  add(options: unknown): Fault {
    const given = objectOption('fault', options ?? null, KNOWN);
    if (given['at'] === undefined) throw invalidOption('fault.at', `one of ${POINTS.join(', ')}`, undefined);
    const at = choiceOption<FaultPoint>('fault.at', given['at'], POINTS, 'start');
    const does = choiceOption<FaultDeed>('fault.does', given['does'], DEEDS, 'throw');
    const isAccept = at === 'before-accept' || at === 'after-accept';
    if (isAccept && does !== 'throw') throw invalidOption('fault.does', `'throw' at ${at}`, does);
    const fault: Planned = {
      hits: 0,
      seen: 0,
      at,
      protocol: protocolOption(given['protocol']),
      path: actorOption(given['actor']),
      message: messageOption(given['message'], at),
      nth: integerOption('fault.nth', given['nth'], 1, 1),
      times: limitOption('fault.times', given['times'], 1, 1),
      does,
      given,
      remove: () => this.planned.delete(fault),
    };
    this.planned.add(fault);
    return Object.freeze({
      get hits() {
        return fault.hits;
      },
      remove: () => fault.remove(),
    });
  }

  /** What strikes here and now. Every plan that fits counts this time; the first that is due strikes. */
  take(spot: Spot): Strike | undefined {
    let strike: Strike | undefined;
    for (const fault of this.planned) {
      if (!isFor(fault, spot)) continue;
      fault.seen++;
      const isDue = fault.seen >= fault.nth && fault.seen < fault.nth + fault.times;
      if (!isDue || strike !== undefined) continue;
      fault.hits++;
      const where = spot.message === undefined ? spot.path : `'${spot.message}' at ${spot.path}`;
      const error =
        'error' in fault.given ? fault.given['error'] : new Error(`planned fault: ${spot.at} of ${where}`);
      strike = { does: fault.does, error };
    }
    return strike;
  }
}

/** Does what a strike says. What never ends by itself rejects when `signal` aborts, or never. */
export function strikeBy(strike: Strike, signal: AbortSignal): Promise<never> {
  if (strike.does === 'throw') throw strike.error;
  return new Promise((_, reject) => {
    if (strike.does === 'ignore-abort') return;
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function isFor(fault: Planned, spot: Spot): boolean {
  return (
    fault.at === spot.at &&
    (fault.protocol === undefined || fault.protocol === spot.protocol) &&
    (fault.path === undefined || fault.path === spot.path) &&
    (fault.message === undefined || fault.message === spot.message)
  );
}

function protocolOption(value: unknown): unknown {
  if (value === undefined || (typeof value === 'object' && value !== null && 'messages' in value))
    return value;
  throw invalidOption('fault.protocol', 'protocol(...)', value);
}

/** The path of an actor, without its incarnation. */
function actorOption(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const address = typeof value === 'object' && value !== null && 'address' in value ? value.address : value;
  if (typeof address === 'string' && address.startsWith('/')) return address.replace(/#.*$/, '');
  throw invalidOption('fault.actor', 'a path like /user/judge, or a ref', value);
}

function messageOption(value: unknown, at: FaultPoint): string | undefined {
  if (value === undefined) return undefined;
  const hasMessage = at !== 'start' && at !== 'restart' && at !== 'stop';
  if (!hasMessage) throw invalidOption('fault.message', `absent at ${at}`, value);
  if (typeof value === 'string') return value;
  throw invalidOption('fault.message', 'the name of a message', value);
}
