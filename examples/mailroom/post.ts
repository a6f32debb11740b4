/** Where the mails of a run come from: the sample's two halves, or the training half and then one's own mail. */
import type { IncomingMail, Post, Purpose } from './agents/protocols.ts';
import { splitHalves } from './bayes.ts';
import { readManifest, readSample, type SampleMail } from './sample.ts';
import { readSource } from './source.ts';

/** What a run reads. */
export interface Delivery {
  /** Mails to learn from, read first. */
  readonly training: Post | undefined;
  /** Mails to judge. */
  readonly judged: Post;
  /** Mails in all, where that is known before they are read. */
  readonly mailsExpected: number | undefined;
  /** Mails of the sample among them. */
  readonly sampleMails: number;
  /** Whether the judged mails are one's own, so that nobody knows their labels. */
  readonly isOwn: boolean;
}

/** The whole sample: learn from one half, judge the other. Throws `SampleDamaged`. */
export function sampleDelivery(): Delivery {
  const { training, heldOut } = halves();
  const sampleMails = training.length + heldOut.length;
  return {
    training: samplePost(training, 'learn'),
    judged: samplePost(heldOut, 'classify'),
    mailsExpected: sampleMails,
    sampleMails,
    isOwn: false,
  };
}

/** One's own mail, judged by what the sample's training half teaches; `isTrained: false` leaves that out. */
export async function ownDelivery(path: string, options: { readonly isTrained: boolean }): Promise<Delivery> {
  await assertReadable(path);
  const { training } = options.isTrained ? halves() : { training: [] };
  return {
    training: options.isTrained ? samplePost(training, 'learn') : undefined,
    judged: { mails: () => ownMails(path) },
    mailsExpected: undefined,
    sampleMails: training.length,
    isOwn: true,
  };
}

/** Finds out at the door whether there is anything to read: throws `SourceError`, before any agent has been started. */
async function assertReadable(path: string): Promise<void> {
  await readSource(path).next();
}

/** The sample's halves, each in the order of the sample: labels mixed, as mail comes. */
function halves(): { training: SampleMail[]; heldOut: SampleMail[] } {
  const sample = readSample();
  const training = new Set(splitHalves(sample, readManifest().seed).training);
  return {
    training: sample.filter((mail) => training.has(mail)),
    heldOut: sample.filter((mail) => !training.has(mail)),
  };
}

function samplePost(mails: readonly SampleMail[], purpose: Purpose): Post {
  return {
    *mails(): Generator<IncomingMail> {
      for (const { name, label, bytes } of mails)
        yield { name, kind: label, purpose, item: { type: 'mail', name, bytes } };
    },
  };
}

async function* ownMails(path: string): AsyncGenerator<IncomingMail> {
  for await (const item of readSource(path))
    yield { name: item.name, kind: 'own', purpose: 'classify', item };
}
