/**
 * Which nodes live, by what RabbitMQ knows: the exclusive queue of a node is there exactly as long as its connection, and one queue that all
 * nodes consume from says how many there are. Nodes introduce themselves through a fanout exchange, each to all, and the number says when
 * everybody has. While it is what it should be, nobody is asked anything. When it is too small, each node asks RabbitMQ for the queues of
 * the next two in the ring of names, and tells all what it found. Decision 0011 says more.
 *
 * What it takes: a message with `mandatory` that no queue takes comes back. That is the server's word that the connection has ended, and
 * it is asked for twice: a connection that was cut comes back meanwhile.
 */

import type { Channel, ConsumeMessage } from 'amqplib';
import type { NodeIdentity, PublishResult } from '../../src/protocol/broker.ts';
import { checkAbout } from '../../src/protocol/broker-options.ts';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import { Listeners } from '../../src/protocol/listeners.ts';
import type { Member, MemberChange, Membership } from '../../src/protocol/membership.ts';
import type { Connection, Session } from './connection.ts';
import { heard } from './member-answers.ts';
import { decoded, encoded, type MemberMessage } from './member-messages.ts';
import { Pulse } from './pulse.ts';
import { codeOf, NOT_FOUND, unavailable } from './refusal.ts';
import { type Gone, Roster } from './roster.ts';
import type { RabbitmqSettings } from './settings.ts';
import type { Topology } from './topology.ts';

/** Milliseconds after which a node whose queue is gone is looked for again. If it is not back, it is down. */
export const GRACE_MS = 1_000;
/** Others that a node looks after. */
const SUCCESSORS = 2;
/** Looks with too few nodes after which everybody is looked for: whoever should have found them has not. */
const LOOKS_PATIENT_MAX = 6;
/** Looks after which successors are looked for although all seem to be there: one may be gone, and another one be unknown. */
const LOOKS_TRUSTED_MAX = 10;
/** Looks with too many nodes after which the unknown ones are asked for. */
const LOOKS_UNKNOWN_MAX = 2;
/** Heartbeats between two times that a node tells all that it is there: for those that have missed something, as nobody should. */
const HEARTBEATS_PER_NEWS = 10;
/** Milliseconds that a newcomer waits for those that are there. Who does not answer until then stands still, and is met when it goes on. */
const MEETING_MS = 2_000;
/** Milliseconds between two looks of a newcomer, and looks until it asks for those that have not answered. */
const MEETING_LOOK_MS = 20;
const MEETING_LOOKS_MAX = 10;
/** Attempts to consume from the queue of all: RabbitMQ deletes it with its last consumer, which may just be leaving. */
const ATTEMPTS_MAX = 5;

/** What sends a message by the publishing connection. Never rejects. */
export type Send = (
  exchange: string,
  key: string,
  content: Buffer,
  isMandatory: boolean,
) => Promise<PublishResult>;

/** What members are opened with. */
export interface MembersParts {
  readonly host: Host;
  readonly settings: RabbitmqSettings;
  readonly topology: Topology;
  readonly node: NodeIdentity;
  readonly publishing: Connection;
  readonly send: Send;
  /** Whether this node must know soon when RabbitMQ may take it for dead. */
  readonly mustAnswer: () => boolean;
}

interface Opened extends MembersParts {
  readonly roster: Roster;
  readonly pulse: Pulse;
}

/** The membership of a broker. */
export class Members implements Membership {
  private readonly settings: RabbitmqSettings;
  private readonly listeners = new Listeners<MemberChange>();
  private opened: Opened | undefined;
  private phase: 'new' | 'meeting' | 'open' | 'closed' = 'new';
  private session: Session | undefined;
  /** Nodes whose queue was not there, until they are looked for again. */
  private readonly suspects = new Map<string, TimerHandle | undefined>();
  /** What is to be told as soon as it can be. */
  private owing: 'hello' | 'here' | undefined;
  private isPaying = false;
  private looksShort = 0;
  private looksLong = 0;
  private newsAtMs = 0;
  private askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(settings: RabbitmqSettings) {
    this.settings = settings;
  }

  view(): readonly Member[] {
    return this.phase === 'new' || this.opened === undefined ? NOBODY : this.opened.roster.view();
  }

  onChange(listener: (change: MemberChange) => void): () => void {
    return this.listeners.add(listener);
  }

  async describe(about: string): Promise<void> {
    const { opened } = this;
    if (opened === undefined || this.phase !== 'open')
      throw unavailable(this.settings, this.phase === 'closed' ? 'it was closed' : 'it is not open');
    opened.roster.describe(checkAbout(about));
    this.owing ??= 'here'; // if it fails
    await opened.publishing.use(async () => {
      const { self } = opened.roster;
      const result = await this.broadcast({ kind: 'here', from: self.name, members: [self] });
      if (result !== 'ok')
        throw unavailable(this.settings, `what it says of itself was not taken (${result})`);
      if (this.owing === 'here' && opened.roster.self === self) this.owing = undefined;
    });
  }

  /** Begins anew, for `attach`. */
  begin(parts: MembersParts): void {
    this.end();
    this.phase = 'new';
    const { host, settings, node, topology } = parts;
    this.opened = {
      ...parts,
      roster: new Roster(node, (change) => this.tell(change)),
      pulse: new Pulse({
        clock: host.clock,
        heartbeatSeconds: settings.heartbeatSeconds,
        queue: topology.nodes,
        mustAnswer: parts.mustAnswer,
        counted: (count, session) => this.counted(count, session),
      }),
    };
  }

  /** Takes part on a session of the consuming connection, which has this node's name. */
  async attach(session: Session): Promise<void> {
    const { opened } = this;
    if (opened === undefined) return;
    const { topology, node, pulse } = opened;
    const channel = await this.consumed(session, topology.nodes);
    session.watch(channel);
    await topology.bindMember(channel, node.name);
    const hear = (message: ConsumeMessage | null): void => {
      if (message !== null) this.hear(message.content);
      // Whoever leaves deletes it: another session would make the inbox again.
      else if (!this.isClosed()) session.fail(new Error('the queue of this node was deleted'));
    };
    await channel.consume(topology.alive(node.name), hear, { noAck: true });
    this.session = session;
    session.onOver(() => this.lost(session));
    pulse.watch(session, channel);
    this.owing = 'hello';
    if (this.phase !== 'new') this.pay();
  }

  /** Meets all that are there: resolves when the view has as many as RabbitMQ counts, or when the time for that is over. */
  async meet(): Promise<void> {
    const { opened } = this;
    if (opened === undefined || this.phase === 'closed') return;
    this.phase = 'meeting';
    const { host, pulse, settings } = opened;
    const met = new Promise<void>((resolve) => {
      this.met = resolve;
    });
    this.pay();
    let looks = 0;
    let timer: TimerHandle | undefined;
    const look = (): void => {
      pulse.look();
      if (++looks % MEETING_LOOKS_MAX === 0) this.ask();
      timer = host.clock.setTimer(MEETING_LOOK_MS, look);
    };
    look();
    await settledWithin(host.clock, Math.min(MEETING_MS, settings.connectTimeoutMs), met, () => undefined);
    if (timer !== undefined) host.clock.clearTimer(timer);
    this.met = undefined;
    if (this.isClosed()) return;
    this.phase = 'open';
    this.newsAtMs = host.clock.now();
    pulse.start();
  }

  /** Says farewell. Never rejects. */
  async leave(): Promise<void> {
    const { opened } = this;
    const wasOpen = this.phase === 'open';
    this.end();
    if (opened === undefined || !wasOpen || this.session === undefined) return;
    const { name, incarnation } = opened.roster.self;
    await this.broadcast({ kind: 'gone', gone: { name, incarnation, how: 'left' } });
  }

  /** Called when as many have been met as there are. */
  private met: (() => void) | undefined;

  private end(): void {
    this.phase = 'closed';
    this.opened?.pulse.stop();
    this.forgetSuspects();
    this.met?.();
  }

  private isClosed(): boolean {
    return this.phase === 'closed';
  }

  /** A channel that consumes from the queue of all, as one of them. */
  private async consumed(session: Session, queue: string): Promise<Channel> {
    for (let attempt = 1; ; attempt++) {
      const channel = await session.model.createChannel();
      channel.on('error', () => undefined); // what was asked of it rejects, or its session is told of its end
      try {
        await this.opened?.topology.declareMembers(channel);
        const ended = (message: ConsumeMessage | null): void => {
          if (message === null) session.fail(new Error('the queue of all nodes was deleted'));
        };
        await channel.consume(queue, ended, { noAck: true });
        return channel;
      } catch (error) {
        if (codeOf(error) !== NOT_FOUND || attempt === ATTEMPTS_MAX) throw error;
      }
    }
  }

  private lost(session: Session): void {
    if (this.session !== session) return;
    this.session = undefined;
    // Who was missing is asked for again on the next session: this one says nothing of them any more.
    this.forgetSuspects();
    this.looksShort = 0;
    this.looksLong = 0;
  }

  private forgetSuspects(): void {
    for (const timer of this.suspects.values())
      if (timer !== undefined) this.opened?.host.clock.clearTimer(timer);
    this.suspects.clear();
  }

  private hear(bytes: Buffer): void {
    const message = decoded(bytes);
    if (message === undefined || this.opened === undefined || this.isClosed()) return;
    const { answers, mustTell } = heard(this.opened.roster, message);
    for (const { to, message: answer } of answers) void this.sendTo(to, answer); // it does not reject
    if (!mustTell) return;
    this.owing ??= 'here';
    this.pay();
  }

  /** Compares how many there are with how many are known. */
  private counted(count: number, session: Session): void {
    const { opened } = this;
    if (opened === undefined || this.session !== session || this.isClosed()) return;
    const { roster, pulse, host, settings } = opened;
    if (this.phase === 'meeting') {
      if (count <= roster.size && this.owing === undefined) this.met?.();
      else this.pay();
      return;
    }
    this.looksShort = count < roster.size ? this.looksShort + 1 : 0;
    this.looksLong = count > roster.size ? this.looksLong + 1 : 0;
    if (this.looksShort > LOOKS_PATIENT_MAX) this.lookFor(roster.successors(roster.size));
    else if (this.looksShort > 0 || pulse.count % LOOKS_TRUSTED_MAX === 0)
      this.lookFor(roster.successors(SUCCESSORS));
    if (this.looksLong >= LOOKS_UNKNOWN_MAX && host.clock.now() - this.askedAtMs >= settings.heartbeatMs)
      this.ask();
    if (host.clock.now() - this.newsAtMs >= HEARTBEATS_PER_NEWS * settings.heartbeatMs) this.owing ??= 'here';
    this.pay();
  }

  private ask(): void {
    const { opened } = this;
    if (opened === undefined) return;
    this.askedAtMs = opened.host.clock.now();
    void this.broadcast({ kind: 'ask', from: opened.node.name, known: opened.roster.names() }); // it does not reject
  }

  private lookFor(names: readonly string[]): void {
    const { opened, session } = this;
    if (opened === undefined || session === undefined) return;
    for (const name of names) {
      const incarnation = opened.roster.incarnationOf(name);
      if (incarnation === undefined || this.suspects.has(name)) continue;
      this.suspects.set(name, undefined);
      void this.lookTwice({ name, incarnation, how: 'down' }, session); // it does not reject
    }
  }

  private async lookTwice(gone: Gone, session: Session): Promise<void> {
    if (await this.isThere(gone.name)) {
      if (this.session === session) this.suspects.delete(gone.name);
      return;
    }
    const { opened } = this;
    if (opened === undefined || this.session !== session || this.isClosed()) return;
    const again = async (): Promise<void> => {
      const isThere = await this.isThere(gone.name);
      if (this.session !== session || this.isClosed()) return;
      this.suspects.delete(gone.name);
      // Who has come back as another meanwhile, or was told of by others, is no news.
      if (isThere || opened.roster.incarnationOf(gone.name) !== gone.incarnation) return;
      opened.roster.heardGone(gone);
      await this.broadcast({ kind: 'gone', gone });
    };
    // It does not reject.
    this.suspects.set(
      gone.name,
      opened.host.clock.setTimer(GRACE_MS, () => void again()),
    );
  }

  /** False only where the server has said so. */
  private async isThere(name: string): Promise<boolean> {
    return (await this.sendTo(name, { kind: 'probe' }, true)) !== 'unroutable';
  }

  /** Tells all what is owing, now or at the next look. */
  private pay(): void {
    const { opened, owing } = this;
    if (opened === undefined || owing === undefined || this.isPaying || this.session === undefined) return;
    this.isPaying = true;
    const { self } = opened.roster;
    const message: MemberMessage =
      owing === 'hello'
        ? { kind: 'hello', member: self }
        : { kind: 'here', from: self.name, members: [self] };
    const { session } = this;
    void this.broadcast(message).then((result) => {
      this.isPaying = false;
      if (result !== 'ok' || this.opened !== opened) return;
      this.newsAtMs = opened.host.clock.now();
      // Said on the session before, or before something changed, it is still owing.
      if (this.session !== session || this.owing !== owing) return;
      if (opened.roster.self === self) this.owing = undefined;
      else this.pay();
    });
  }

  private broadcast(message: MemberMessage): Promise<PublishResult> {
    const { opened } = this;
    if (opened === undefined) return Promise.resolve('unavailable');
    return opened.send(opened.topology.members, '', encoded(message), false);
  }

  private sendTo(name: string, message: MemberMessage, isMandatory = false): Promise<PublishResult> {
    const { opened } = this;
    if (opened === undefined) return Promise.resolve('unavailable');
    return opened.send('', opened.topology.alive(name), encoded(message), isMandatory);
  }

  /** Not inside the driver's events, where this may have begun: a listener may close the broker. */
  private tell(change: MemberChange): void {
    this.opened?.host.soon(() => this.listeners.tell(change));
  }
}

const NOBODY: readonly Member[] = Object.freeze([]);
