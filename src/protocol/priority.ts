import { invalidOption } from './options.ts';

/** How urgent a message is, most urgent first. */
export const PRIORITIES = ['critical', 'urgent', 'high', 'normal', 'low', 'background'] as const;

/** One of the six levels. The default is `normal`. */
export type Priority = (typeof PRIORITIES)[number];

/** Place of a priority in the order: 0 is `critical`, 5 is `background`. */
export type Rank = 0 | 1 | 2 | 3 | 4 | 5;

/** Rank of the most urgent level, the only one that may use a mailbox's critical reserve. */
export const CRITICAL_RANK: Rank = 0;
/** Rank of a message whose sender named no priority. */
export const NORMAL_RANK: Rank = 3;

const RANKS: { readonly [P in Priority]: Rank } = {
  critical: 0,
  urgent: 1,
  high: 2,
  normal: 3,
  low: 4,
  background: 5,
};

/** The rank of a priority. Throws `ERR_OPTION_INVALID` for anything that is not one of the six. */
export function rankOf(priority: unknown): Rank {
  if (typeof priority === 'string' && Object.hasOwn(RANKS, priority)) return RANKS[priority as Priority]; // it has it
  throw invalidOption('priority', `one of ${PRIORITIES.join(', ')}`, priority);
}

/** The priority at a rank. */
export function priorityAt(rank: Rank): Priority {
  return PRIORITIES[rank];
}

/** The numbers of the levels on the wire, most urgent first: those of AMB, with gaps for levels of others. */
const NUMBERS: readonly number[] = [15, 10, 8, 5, 1, 0];

/** The number of a priority on the wire. Throws `ERR_OPTION_INVALID`. @internal */
export function priorityNumber(priority: Priority): number {
  return NUMBERS[rankOf(priority)] ?? 0;
}

/** The level of a number on the wire; one between two levels is the lower one, one below all of them `background`. @internal */
export function priorityOfNumber(number: number): Priority {
  const rank = NUMBERS.findIndex((level) => number >= level);
  return PRIORITIES[rank] ?? 'background';
}
