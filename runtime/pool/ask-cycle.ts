/**
 * Workers that ask their own pool. A worker whose turn waits takes no other job, so a job that only such workers could take
 * would wait for itself. Only the chain of one ask is looked at: two chains that have taken all workers between them and
 * wait for each other end by their timeouts.
 */

import type { AskChain, Envelope, Sender } from '../../src/protocol/envelope.ts';

/** The turns that wait for this job: innermost first, those whose askers have gone away left out. */
export function waitingFor(job: Envelope): readonly Sender[] {
  const waiting: Sender[] = [];
  for (let link: AskChain | undefined = job.customer?.chain; link?.isWaiting() === true; link = link.outer)
    waiting.push(link.waiting);
  return waiting;
}

/** Whether a turn of this actor waits for the job. */
export function isWaitingFor(job: Envelope, actor: unknown): boolean {
  return job.customer?.chain !== undefined && waitingFor(job).some((sender) => sender === actor);
}

/** The way of the ask that would wait for itself: from the outermost worker to the pool. */
export function cyclePath(
  job: Envelope,
  pool: Sender,
  isWorker: (sender: Sender) => boolean,
): readonly string[] {
  const waiting = waitingFor(job);
  const outermost = waiting.findLastIndex(isWorker);
  const path = waiting.slice(0, outermost + 1).reverse();
  return [...path, pool].map(({ address }) => address);
}
