/** The digest: the end of a mail's way. It counts what was handled and remembers what is worth telling. */
import { agent } from 'troupe';
import { Digest, type DigestReport, type FiledMail, type KindCounts, noMails } from './protocols.ts';

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
    report: ({ state }): DigestReport => ({
      learnt: { ...state.learnt },
      judged: { ...state.judged },
      calledSpam: { ...state.calledSpam },
      retries: state.retries,
      spamHosts: topHosts(state.spamHosts),
      surestSpam: state.surestSpam,
    }),
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

function topHosts(hosts: ReadonlyMap<string, number>): DigestReport['spamHosts'] {
  const counted = [...hosts].map(([host, mails]) => ({ host, mails }));
  counted.sort((left, right) => right.mails - left.mails || left.host.localeCompare(right.host));
  return counted.slice(0, TOP_HOSTS);
}
