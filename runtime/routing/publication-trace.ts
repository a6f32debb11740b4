/** The place of a publication in a trace: its call begins before the first copy, and ends when the last one has got in. */

import type { Trace } from '../../src/protocol/envelope.ts';
import type { Headers } from '../../src/protocol/ref.ts';
import type { Kernel } from '../actor/kernel.ts';
import { carriedHeaders } from '../observe/trace-headers.ts';
import type { Publication } from './publication.ts';

/** Somebody publishes this now: it gets its place, in its headers or while spans are recorded, and what it has is a call that is to be ended. */
export function beginCall(kernel: Kernel, publication: Publication): void {
  const { telemetry } = kernel;
  const { extras, publisher } = publication;
  const { from } = publisher;
  if (from === undefined) telemetry.look();
  else if (!telemetry.isTracing) extras.headers = carriedHeaders(from.envelope, extras.headers);
  if (kernel.isRecorded) publication.trace = telemetry.publishing(publication);
}

/** The call ends when the last copy has got in, or one of them did not in its time. */
export function endCall(trace: Trace, { waits }: Publication): void {
  if (waits === undefined) {
    trace.sent('accepted');
    return;
  }
  // Whoever publishes hears of a rejection by the same promises.
  Promise.all(waits).then(
    () => trace.sent('accepted'),
    (error: unknown) => trace.failed(error),
  );
}

/** The headers of a publication with its place in a trace, for another process. */
export function tracedHeaders({ extras, trace }: Publication): Headers | undefined {
  return trace === undefined ? extras.headers : trace.headersWith(extras.headers);
}
