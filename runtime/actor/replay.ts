/** Sends dead letters again: to the place they were for, whoever lives there now. */

import { parseAddress } from '../../src/protocol/address.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { Cell } from './cell.ts';
import type { Resend } from './dead-letters.ts';
import type { Kernel } from './kernel.ts';
import { offerOrWait } from './local-ref.ts';

/**
 * What `replay` does. A ref of one incarnation never reaches the next one; a replay means the place, because it is made
 * by somebody who has mended what ended there. Where nobody takes it, it rejects and leaves no second dead letter.
 */
export function resendTo(kernel: Kernel, find: (place: string) => Cell | undefined): Resend {
  return async (kept) => {
    if (kernel.isIntakeClosed) throw new TroupeError('ERR_ACTOR_STOPPED', { address: '/' });
    const { address } = kept.letter;
    const place = parseAddress(address)?.path ?? address;
    const cell = find(place);
    if (cell === undefined) throw new TroupeError('ERR_ACTOR_UNKNOWN', { address: place });
    if (!cell.isOpen) throw new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address });
    const envelope = kept.envelopeFor(cell.behaviour);
    kernel.telemetry.look();
    // Stryker disable next-line StringLiteral: for traces, whose tests know it.
    const verb = 'replay';
    // Stryker disable next-line ObjectLiteral: for the compiler; what is left out is undefined.
    await offerOrWait(verb, cell, envelope, { timeoutMs: undefined, signal: undefined }, undefined);
  };
}
