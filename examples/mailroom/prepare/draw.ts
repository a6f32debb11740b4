/**
 * Drawing the sample: three disjoint strata, each in its natural share.
 *
 * Poison is what the strict parser refuses, spam or ham; the other two are the rest by label. Which mails of a stratum are
 * drawn, and the order of the whole, is the seed's choice alone.
 */
import { MailRejected } from '../mail-rules.ts';
import { parse } from '../parse.ts';
import type { SampleMail, StrataCounts } from '../sample.ts';
import { seededRandom, shuffled } from '../seeded-random.ts';

/** What `drawSample` is given. */
export interface DrawOptions {
  /** Mails to draw. */
  readonly mails: number;
  readonly seed: number;
}

/** The sample, in seeded order, with the sizes of the strata. */
export interface DrawnSample {
  readonly mails: readonly SampleMail[];
  readonly corpus: StrataCounts;
  readonly sample: StrataCounts;
}

type Stratum = keyof StrataCounts;
const STRATA: readonly Stratum[] = ['spam', 'ham', 'poison'];

/** Draws a stratified sample of the corpus. */
export function drawSample(corpus: readonly SampleMail[], options: DrawOptions): DrawnSample {
  const random = seededRandom(options.seed);
  const strata: Record<Stratum, SampleMail[]> = { spam: [], ham: [], poison: [] };
  for (const mail of corpus) strata[stratumOf(mail)].push(mail);

  const sizes = { spam: strata.spam.length, ham: strata.ham.length, poison: strata.poison.length };
  const counts = apportion(sizes, Math.min(options.mails, corpus.length));
  const drawn = STRATA.flatMap((stratum) => shuffled(strata[stratum], random).slice(0, counts[stratum]));
  return { mails: shuffled(drawn, random), corpus: sizes, sample: counts };
}

function stratumOf(mail: SampleMail): Stratum {
  try {
    parse(mail.bytes);
    return mail.label;
  } catch (error) {
    if (error instanceof MailRejected) return 'poison';
    throw error;
  }
}

/** Splits `total` in proportion to the sizes; what rounding leaves over goes to the largest remainders. */
function apportion(sizes: StrataCounts, total: number): StrataCounts {
  const whole = sizes.spam + sizes.ham + sizes.poison;
  const counts: Record<Stratum, number> = { spam: 0, ham: 0, poison: 0 };
  const remainders = STRATA.map((stratum) => {
    const exact = (total * sizes[stratum]) / whole;
    counts[stratum] = Math.floor(exact);
    return { stratum, remainder: exact - counts[stratum] };
  });
  remainders.sort((left, right) => right.remainder - left.remainder);
  const left = total - counts.spam - counts.ham - counts.poison;
  for (const { stratum } of remainders.slice(0, left)) counts[stratum] += 1;
  return counts;
}
