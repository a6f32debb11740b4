/**
 * What the security agent looks for in a parsed mail: pure rules, each of which may raise alerts.
 *
 * They judge what a mail shows against what it does: a link that names one host and goes to another, a sender's name that is
 * somebody else's address. They know neither label nor score.
 */
import { addressHost } from './address.ts';
import type { Link } from './html-text.ts';
import type { ParsedMail } from './parse.ts';

/** Name of a security rule. */
export type SecurityRule =
  | 'link-host-mismatch'
  | 'link-raw-ip'
  | 'link-userinfo'
  | 'executable-attachment'
  | 'sender-name-mismatch';

/** One finding in a mail. */
export interface SecurityAlert {
  readonly rule: SecurityRule;
  /** What was found, in printable ASCII. */
  readonly detail: string;
}

/** Links looked at in one mail: a phishing mail needs one, a newsletter has hundreds. */
const LINKS_MAX = 200;
/** Endings that Windows runs on a double click. */
const executable = /\.(?:exe|scr|pif|com|bat|cmd|vbs|vbe|js|jse|wsf|hta|lnk|cpl|msi|jar)$/i;
const webUrl = /^https?:\/\/([^/?#\\\s]*)/i;
const shownHost = /^https?:\/\/((?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,6})(?:[/?:]|$)/i;
const rawIp = /^(?:\d{1,3}(?:\.\d{1,3}){3}|\d{8,10}|0x[0-9a-f]{1,8}|\[[0-9a-f:.]+\])$/i;
const addressPattern = /[a-z0-9._+-]{1,64}@((?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,6})/i;

/** All alerts that a mail raises, each rule at most once. */
export function findAlerts(mail: ParsedMail): SecurityAlert[] {
  const links = mail.links.slice(0, LINKS_MAX);
  return [
    firstOf('link-host-mismatch', links, hostMismatch),
    firstOf('link-raw-ip', links, rawIpHost),
    firstOf('link-userinfo', links, userInfo),
    firstOf('executable-attachment', mail.attachments, (part) =>
      executable.test(part.fileName?.trim() ?? '') ? part.fileName : undefined,
    ),
    firstOf('sender-name-mismatch', [mail.from], nameMismatch),
  ].filter((alert) => alert !== undefined);
}

/** The rule's alert for the first item in which it finds something. */
function firstOf<T>(
  rule: SecurityRule,
  items: readonly T[],
  find: (item: T) => string | undefined,
): SecurityAlert | undefined {
  for (const item of items) {
    const detail = find(item);
    if (detail !== undefined) return { rule, detail: printable(detail) };
  }
  return undefined;
}

/** The link's text is a web address of another site than the one it goes to. A bare name (`News.com`) is no address. */
function hostMismatch(link: Link): string | undefined {
  const shown = shownHost.exec(link.text)?.[1];
  const target = authorityOf(link)?.host;
  if (shown === undefined || target === undefined || target === '') return undefined;
  return siteOf(shown) === siteOf(target) ? undefined : `shows ${shown}, goes to ${target}`;
}

/** A host written as a number tells the reader nothing about whose it is. */
function rawIpHost(link: Link): string | undefined {
  const host = authorityOf(link)?.host;
  return host !== undefined && rawIp.test(host) ? host : undefined;
}

/** `http://bank.example@elsewhere.example` goes to elsewhere.example. */
function userInfo(link: Link): string | undefined {
  const authority = authorityOf(link);
  return authority !== undefined && authority.userInfo !== ''
    ? `${authority.userInfo}@${authority.host}`
    : undefined;
}

/** The display name is an address of another site than the address behind it. */
function nameMismatch(from: ParsedMail['from']): string | undefined {
  const named = addressPattern.exec(from.name.slice(0, 1_000));
  const host = addressHost(from.address);
  if (named?.[1] === undefined || host === '') return undefined;
  return siteOf(named[1]) === siteOf(host) ? undefined : `named ${named[0]}, sent as ${from.address}`;
}

function authorityOf(link: Link): { userInfo: string; host: string } | undefined {
  const authority = webUrl.exec(link.target)?.[1];
  if (authority === undefined) return undefined;
  const at = authority.lastIndexOf('@');
  const host = authority
    .slice(at + 1)
    .replace(/:\d*$/, '')
    .toLowerCase();
  return { userInfo: at < 0 ? '' : authority.slice(0, at), host };
}

/** The last two labels of a host, three where the last two are a country's own split (`co.uk`): who owns it, roughly. */
function siteOf(host: string): string {
  const labels = host.toLowerCase().replace(/\.$/, '').split('.');
  const isSplit = /^(?:co|com|net|org|ac|gov|edu)$/.test(labels.at(-2) ?? '') && labels.at(-1)?.length === 2;
  return labels.slice(isSplit ? -3 : -2).join('.');
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
}
