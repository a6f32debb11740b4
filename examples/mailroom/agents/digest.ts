/** The digest: the end of a mail's way. It counts what was handled, remembers what is worth telling, and tells it line by line. */
import { agent } from 'troupe';
import { count, quoted, shortName } from '../plain-text.ts';
import { Digest, type FiledMail, KINDS, type KindCounts, noMails } from './protocols.ts';

interface SurestSpam {
  readonly name: string;
  readonly subject: string;
  readonly score: number;
}

interface DigestState {
  readonly learnt: KindCounts;
  readonly judged: KindCounts;
  readonly calledSpam: KindCounts;
  readonly spamHosts: Map<string, number>;
  surestSpam: SurestSpam | undefined;
  retries: number;
}

/** Hosts that are counted; spam from any more is not told apart by host. */
const HOSTS_MAX = 1_000;
/** Hosts that are reported. */
const TOP_HOSTS = 3;

/** Files mails. */
export const digest = agent(Digest, {
  state: (): DigestState => ({
    learnt: noMails(),
    judged: noMails(),
    calledSpam: noMails(),
    spamHosts: new Map(),
    surestSpam: undefined,
    retries: 0,
  }),
  mailbox: { capacity: 64 },
  on: {
    file(ctx, mail) {
      const { learnt, judged, calledSpam, spamHosts } = ctx.state;
      const { verdict, kind, attempts } = mail;
      ctx.state.retries += attempts - 1;
      (verdict === undefined ? learnt : judged)[kind] += 1;
      if (verdict?.label !== 'spam') return;
      calledSpam[kind] += 1;
      countHost(spamHosts, mail.senderHost);
      ctx.state.surestSpam = surer(ctx.state.surestSpam, mail, verdict.score);
    },
    // Line by line, as that of a language model would come.
    async *summarize({ state }) {
      const { learnt, judged, calledSpam, spamHosts, surestSpam, retries } = state;
      const [all, spam] = [total(judged), total(calledSpam)];
      yield `${count(all)} mails judged: ${count(spam)} spam, ${count(all - spam)} ham`;
      const hosts = topHosts(spamHosts).map(({ host, mails }) => `${host} (${mails})`);
      if (hosts.length > 0) yield `most spam came as from ${hosts.join(', ')}`;
      if (surestSpam !== undefined)
        yield `the surest: ${quoted(surestSpam.subject)} (${shortName(surestSpam.name)})`;
      return { learnt: { ...learnt }, judged: { ...judged }, calledSpam: { ...calledSpam }, retries };
    },
  },
});

function countHost(hosts: Map<string, number>, host: string): void {
  const count = hosts.get(host);
  if (host === '' || (count === undefined && hosts.size >= HOSTS_MAX)) return;
  hosts.set(host, (count ?? 0) + 1);
}

function surer(best: SurestSpam | undefined, mail: FiledMail, score: number): SurestSpam {
  if (best !== undefined && best.score >= score) return best;
  return { name: mail.name, subject: mail.subject, score };
}

function total(counts: KindCounts): number {
  return KINDS.reduce((sum, kind) => sum + counts[kind], 0);
}

function topHosts(hosts: ReadonlyMap<string, number>): { readonly host: string; readonly mails: number }[] {
  const counted = [...hosts].map(([host, mails]) => ({ host, mails }));
  counted.sort((left, right) => right.mails - left.mails || left.host.localeCompare(right.host));
  return counted.slice(0, TOP_HOSTS);
}
