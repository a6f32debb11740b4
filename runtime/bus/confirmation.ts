/** The wait of a publish with `confirm: 'handled'`: for the outcomes of all copies, its time, its signal, or the bus's end. */

import { TroupeError } from '../../src/protocol/errors.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Tally } from '../routing/tally.ts';
import { OpenCall, type OpenCalls } from './open-calls.ts';
import type { PublishSettings } from './options.ts';

/** One publish that waits until it is handled. */
export class Confirmation extends OpenCall<void> {
  private readonly topic: string;
  private readonly id: string;
  private readonly tally: Tally;

  constructor(
    calls: OpenCalls,
    kernel: Kernel,
    what: { readonly topic: string; readonly id: string; readonly tally: Tally },
    settings: PublishSettings,
  ) {
    super(calls, kernel, settings);
    this.topic = what.topic;
    this.id = what.id;
    this.tally = what.tally;
    this.tally.whenDone(() => this.fulfil(undefined));
  }

  protected override timeoutError(): TroupeError {
    const { topic, id, timeoutMs, tally } = this;
    const { handled, failed } = tally;
    return new TroupeError('ERR_CONFIRM_TIMEOUT', { topic, id, timeoutMs, handled, failed });
  }
}
