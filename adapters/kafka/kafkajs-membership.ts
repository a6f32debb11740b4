/**
 * Membership in a consumer group of Kafka: join, sync, heartbeats, and joining again when the coordinator says that the members are
 * about to be given their parts anew, or when the member itself asks for it. Not the consumer of kafkajs: that one cannot ask, does
 * not show what the leader has said, and fetches. A member whose connection is cut goes on over the next one as long as its session lasts.
 */

import type { Host } from '../../src/protocol/clock.ts';
import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import { type Commit, type JoinRequest, KafkaFailure, type Membership } from './driver.ts';
import type { KafkajsClient } from './kafkajs-client.ts';
import { failureOf } from './kafkajs-failures.ts';
import type { InsideServer } from './kafkajs-inside.ts';

/** Kafka's own words for what members say and are told; kafkajs has them. */
export interface GroupWords {
  readonly MemberMetadata: {
    encode(words: { readonly version: number; readonly topics: string[]; readonly userData: Buffer }): Buffer;
    decode(buffer: Buffer): { readonly userData: Buffer } | null;
  };
  readonly MemberAssignment: {
    encode(words: {
      readonly version: number;
      readonly assignment: Record<string, number[]>;
      readonly userData: Buffer;
    }): Buffer;
    decode(buffer: Buffer): { readonly userData: Buffer } | null;
  };
}

/** @internal */
export interface MembershipParts {
  readonly request: JoinRequest;
  readonly words: GroupWords;
  readonly host: Host;
  readonly connect: () => Promise<KafkajsClient>;
  /** Milliseconds for an answer. */
  readonly answerMs: number;
}

const VERSION = 1;
const PROTOCOL = 'TroupeSlots';
/** Milliseconds between attempts to reach the coordinator. */
const AGAIN_MS = 100;

interface Place {
  readonly generationId: number;
  readonly memberId: string;
}

/** @internal */
export class KafkajsMembership implements Membership {
  private readonly parts: MembershipParts;
  private client: KafkajsClient | undefined;
  private place: Place | undefined;
  private memberId = '';
  private wantsToJoin = false;
  private wake: (() => void) | undefined;
  private readonly ending = new AbortController();

  constructor(parts: MembershipParts) {
    this.parts = parts;
  }

  /** Connects, and begins to join. */
  async begin(): Promise<Membership> {
    this.client = await this.parts.connect();
    void this.run(); // it catches what goes wrong
    return this;
  }

  rejoin(): void {
    this.wantsToJoin = true;
    this.wake?.();
  }

  async commit(topic: string, commits: readonly Commit[]): Promise<void> {
    const { place } = this;
    if (place === undefined) throw new KafkaFailure('fenced', 'it is no member now');
    const partitions = commits.map(({ partition, offset, metadata }) => ({
      partition,
      offset: String(offset),
      metadata,
    }));
    await this.asked((server) =>
      server.offsetCommit({
        groupId: this.parts.request.group,
        groupGenerationId: place.generationId,
        memberId: place.memberId,
        topics: [{ topic, partitions }],
      }),
    );
  }

  async leave(): Promise<void> {
    if (this.ending.signal.aborted) return;
    this.ending.abort();
    this.wake?.();
    const { memberId, client } = this;
    const { request, host, answerMs } = this.parts;
    if (memberId !== '' && client !== undefined) {
      const left = client.atCoordinator(request.group, (server) =>
        server.leaveGroup({ groupId: request.group, memberId }),
      );
      await settledWithin(host.clock, answerMs, left.then(nothing, nothing), nothing);
    }
    this.client?.close();
  }

  private async run(): Promise<void> {
    const { signal } = this.ending;
    try {
      while (!signal.aborted) {
        await this.join();
        await this.beat();
        if (signal.aborted) return;
        await this.parts.request.rebalancing();
      }
    } catch (error) {
      if (signal.aborted) return;
      this.ending.abort();
      this.place = undefined;
      this.client?.close();
      this.parts.request.lost(failureOf(error));
    }
  }

  /** Until it has its part. */
  private async join(): Promise<void> {
    const { signal } = this.ending;
    while (!signal.aborted) {
      this.wantsToJoin = false;
      try {
        const told = await this.joinOnce();
        if (!signal.aborted) this.parts.request.assigned(told);
        return;
      } catch (error) {
        await this.recover(failureOf(error));
      }
    }
  }

  private async joinOnce(): Promise<string> {
    const { request, words } = this.parts;
    const { group: groupId, topic, sessionTimeoutMs } = request;
    const metadata = words.MemberMetadata.encode({
      version: VERSION,
      topics: [topic],
      userData: Buffer.from(request.describe()),
    });
    const joined = await this.asked(
      (server) =>
        server.joinGroup({
          groupId,
          sessionTimeout: sessionTimeoutMs,
          rebalanceTimeout: sessionTimeoutMs,
          memberId: this.memberId,
          groupProtocols: [{ name: PROTOCOL, metadata }],
        }),
      2 * sessionTimeoutMs,
    );
    const { generationId, memberId, leaderId, members } = joined;
    this.memberId = memberId;
    this.place = { generationId, memberId };
    const told = members.map((member) => ({
      id: member.memberId,
      text: String(words.MemberMetadata.decode(member.memberMetadata)?.userData ?? ''),
    }));
    const parts = memberId === leaderId ? [...request.assign(told)] : [];
    const groupAssignment = parts.map(([id, text]) => ({
      memberId: id,
      memberAssignment: words.MemberAssignment.encode({
        version: VERSION,
        assignment: { [topic]: [] },
        userData: Buffer.from(text),
      }),
    }));
    const { memberAssignment } = await this.asked(
      (server) => server.syncGroup({ groupId, generationId, memberId, groupAssignment }),
      2 * sessionTimeoutMs,
    );
    return String(words.MemberAssignment.decode(memberAssignment)?.userData ?? '');
  }

  /** Says that it lives, until it has to join again. Rejects when it is a member no more. */
  private async beat(): Promise<void> {
    const { request, host } = this.parts;
    const { clock } = host;
    let goodAtMs = clock.now();
    while (!this.ending.signal.aborted) {
      const { place } = this;
      if (place === undefined || this.wantsToJoin) return;
      await this.sleep(request.heartbeatMs);
      if (this.wantsToJoin || this.ending.signal.aborted) return;
      try {
        const { generationId: groupGenerationId, memberId } = place;
        await this.asked((server) =>
          server.heartbeat({ groupId: request.group, groupGenerationId, memberId }),
        );
        goodAtMs = clock.now();
      } catch (error) {
        const failure = failureOf(error);
        if (failure.kind === 'rebalancing') return;
        if (clock.now() - goodAtMs > request.sessionTimeoutMs) throw failure;
        await this.recover(failure);
      }
    }
  }

  /** After a failure that may pass: over a new connection if the old one was at fault. Rejects with what will not pass. */
  private async recover(failure: KafkaFailure): Promise<void> {
    const { signal } = this.ending;
    if (failure.kind === 'denied' || failure.kind === 'fenced') throw failure;
    if (failure.kind === 'rebalancing') return;
    await pause(this.parts.host.clock, AGAIN_MS, signal);
    if (failure.kind !== 'lost' && failure.kind !== 'not-sent') return;
    this.client?.close();
    this.client = undefined;
    if (signal.aborted) return;
    this.client = await this.parts.connect().catch((error: unknown) => {
      if (failureOf(error).kind === 'denied') throw error;
      return undefined;
    });
    if (signal.aborted) this.client?.close();
  }

  private async asked<T>(
    request: (server: InsideServer) => Promise<T>,
    ms = this.parts.answerMs,
  ): Promise<T> {
    const { client } = this;
    if (client === undefined) throw new KafkaFailure('not-sent', 'there is no connection');
    const answer = client.atCoordinator(this.parts.request.group, request);
    try {
      return await settledWithin(this.parts.host.clock, ms, answer, () => {
        throw new KafkaFailure('lost', `the coordinator did not answer within ${ms} ms`);
      });
    } catch (error) {
      throw failureOf(error);
    }
  }

  private async sleep(ms: number): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    await settledWithin(this.parts.host.clock, ms, woken, nothing);
    this.wake = undefined;
  }
}

function nothing(): void {
  // There is nothing to do.
}
