/**
 * A naive Bayes spam filter: pure and deterministic, trained in one pass.
 *
 * A mail's score is the mean log-odds for spam of its most telling features (naive: as if they were independent, and spam as
 * common as ham). It is spam above a threshold that training chooses by cross-validation on its own mails, so that hardly any
 * ham is lost; what the filter is measured on plays no part in it.
 */
import { featuresOf } from './features.ts';
import type { ParsedMail } from './parse.ts';
import { seededRandom, shuffled } from './seeded-random.ts';

/** The two kinds of mail. */
export type Label = 'spam' | 'ham';

/** A parsed mail whose label is known. */
export interface LabelledMail {
  readonly label: Label;
  readonly mail: ParsedMail;
}

/** What training has learnt. Plain data: it may be put in a message. */
export interface Model {
  readonly spamMails: number;
  readonly hamMails: number;
  /** Log-odds of each feature seen in at least two mails; above zero speaks for spam. */
  readonly weights: ReadonlyMap<string, number>;
  /** Mails that score above it are spam. */
  readonly threshold: number;
}

/** How a model does on labelled mails. */
export interface Evaluation {
  readonly spamMails: number;
  readonly hamMails: number;
  /** Share of the spam that is found. */
  readonly recall: number;
  /** Share of the ham that is taken for spam. */
  readonly falsePositiveRate: number;
  readonly accuracy: number;
  /** Accuracy of calling every mail what most of them are. */
  readonly baselineAccuracy: number;
}

/** Options of `train`. */
export interface TrainOptions {
  /** Fixes the folds of the cross-validation; 1 by default. */
  readonly seed?: number;
}

/** The 150 features that say most decide; a long mail has thousands that say nearly nothing. */
const DECIDING_FEATURES_MAX = 150;
const PRIOR_MAILS = 0.5;
const FOLDS = 8;
/** Half of the 2 % of ham that may be lost at most: the other half is left for mails that training has not seen. */
const TARGET_FALSE_POSITIVE_RATE = 0.01;

interface Example {
  readonly label: Label;
  readonly features: ReadonlySet<string>;
}

/** Learns from labelled mails, threshold included. */
export function train(mails: readonly LabelledMail[], options: TrainOptions = {}): Model {
  const examples = mails.map(({ label, mail }) => ({ label, features: featuresOf(mail) }));
  return { ...learn(examples), threshold: chooseThreshold(examples, options.seed ?? 1) };
}

/** The mail's mean log-odds of being spam; compare it with the model's threshold. */
export function score(model: Model, mail: ParsedMail): number {
  return scoreFeatures(model, featuresOf(mail));
}

/** The mail's label by the model, and the score that decided. */
export function classify(model: Model, mail: ParsedMail): { readonly label: Label; readonly score: number } {
  const logOdds = score(model, mail);
  return { label: logOdds > model.threshold ? 'spam' : 'ham', score: logOdds };
}

/** Measures a model on labelled mails. */
export function evaluate(model: Model, mails: readonly LabelledMail[]): Evaluation {
  const spamMails = mails.filter(({ label }) => label === 'spam').length;
  const hamMails = mails.length - spamMails;
  const called = mails.filter(({ mail }) => classify(model, mail).label === 'spam');
  const found = called.filter(({ label }) => label === 'spam').length;
  const lost = called.length - found;
  return {
    spamMails,
    hamMails,
    recall: share(found, spamMails),
    falsePositiveRate: share(lost, hamMails),
    accuracy: share(found + hamMails - lost, mails.length),
    baselineAccuracy: share(Math.max(spamMails, hamMails), mails.length),
  };
}

/** Splits labelled items into two halves that hold the same share of each label; the seed says which item goes where. */
export function splitHalves<T extends { readonly label: Label }>(
  items: readonly T[],
  seed: number,
): { readonly training: T[]; readonly heldOut: T[] } {
  const random = seededRandom(seed);
  const byLabel = (label: Label): T[] =>
    shuffled(
      items.filter((item) => item.label === label),
      random,
    );
  const strata = [...byLabel('spam'), ...byLabel('ham')];
  return {
    training: strata.filter((_, index) => index % 2 === 0),
    heldOut: strata.filter((_, index) => index % 2 === 1),
  };
}

/** Counts in how many mails of each label a feature occurs. */
function learn(examples: readonly Example[]): Omit<Model, 'threshold'> {
  const counts = new Map<string, { spam: number; ham: number }>();
  const mails = { spam: 0, ham: 0 };
  for (const { label, features } of examples) {
    mails[label] += 1;
    for (const feature of features) {
      const count = counts.get(feature) ?? { spam: 0, ham: 0 };
      count[label] += 1;
      counts.set(feature, count);
    }
  }
  const weights = new Map<string, number>();
  for (const [feature, { spam, ham }] of counts) {
    if (spam + ham >= 2)
      weights.set(feature, logOdds(spam / (mails.spam || 1), ham / (mails.ham || 1), spam + ham));
  }
  return { spamMails: mails.spam, hamMails: mails.ham, weights };
}

/**
 * The log-odds for which a feature speaks, by the share of spam and of ham that has it. What is seen seldom is drawn towards
 * zero: as if half a mail more had been seen that says nothing (Gary Robinson's correction).
 */
function logOdds(spamShare: number, hamShare: number, mails: number): number {
  const probability =
    (PRIOR_MAILS / 2 + mails * (spamShare / (spamShare + hamShare))) / (PRIOR_MAILS + mails);
  return Math.log(probability / (1 - probability));
}

/** The mean of the deciding log-odds: a sum would make long mail surer of itself than short mail. */
function scoreFeatures(model: Omit<Model, 'threshold'>, features: ReadonlySet<string>): number {
  const weights: number[] = [];
  for (const feature of features) {
    const weight = model.weights.get(feature);
    if (weight !== undefined) weights.push(weight);
  }
  weights.sort((left, right) => Math.abs(right) - Math.abs(left));
  const deciding = weights.slice(0, DECIDING_FEATURES_MAX);
  return deciding.reduce((sum, weight) => sum + weight, 0) / (deciding.length + 1);
}

/** Scores each mail by a model that has not seen it, then takes the threshold that loses at most the target share of ham. */
function chooseThreshold(examples: readonly Example[], seed: number): number {
  const order = shuffled(examples, seededRandom(seed));
  const hamScores: number[] = [];
  for (let fold = 0; fold < FOLDS; fold += 1) {
    const model = learn(order.filter((_, index) => index % FOLDS !== fold));
    order.forEach(({ label, features }, index) => {
      if (index % FOLDS === fold && label === 'ham') hamScores.push(scoreFeatures(model, features));
    });
  }
  hamScores.sort((left, right) => right - left);
  const rank = hamScores.length * TARGET_FALSE_POSITIVE_RATE;
  const above = hamScores[Math.floor(rank)] ?? 0;
  const below = hamScores[Math.floor(rank) + 1] ?? above;
  return above + (rank - Math.floor(rank)) * (below - above);
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
