/** A store as a plain list: slow, and plainly right. What the stores are compared with. */

import type {
  MessageRange,
  MessageStatus,
  NewMessage,
  StatusChange,
  StoredMessage,
  StoreStats,
  Trimmed,
  TrimOptions,
} from '../../src/protocol/store.ts';

export class ListStore {
  readonly messagesMax: number;
  private messages: StoredMessage[] = [];
  private lastGiven = 0;
  private trimmed: Trimmed = { messages: 0, unfinished: 0 };

  constructor(messagesMax: number) {
    this.messagesMax = messagesMax;
  }

  /** The position; nothing for an id that is held. */
  append(message: NewMessage): number | undefined {
    if (this.messages.some(({ id }) => id === message.id)) return undefined;
    const position = ++this.lastGiven;
    this.messages.push({ ...message, position, status: 'pending', attempts: 0, lastError: undefined });
    this.trim({ messagesMax: this.messagesMax });
    return position;
  }

  mark(position: number, { status, attempts, lastError }: StatusChange): boolean {
    const index = this.messages.findIndex((message) => message.position === position);
    const message = this.messages[index];
    if (message === undefined) return false;
    this.messages[index] = {
      ...message,
      status,
      attempts: attempts ?? message.attempts,
      lastError: lastError ?? message.lastError,
    };
    return true;
  }

  remove(position: number): boolean {
    const before = this.messages.length;
    this.messages = this.messages.filter((message) => message.position !== position);
    return this.messages.length < before;
  }

  trim({ beforeMs = -Infinity, messagesMax = Infinity }: TrimOptions): Trimmed {
    const excess = this.messages.length - messagesMax;
    const gone = this.messages.filter((message, index) => index < excess || message.publishedAtMs < beforeMs);
    this.messages = this.messages.filter((message) => !gone.includes(message));
    const unfinished = gone.filter(({ status }) =>
      ['pending', 'delivered', 'failed'].includes(status),
    ).length;
    this.trimmed = {
      messages: this.trimmed.messages + gone.length,
      unfinished: this.trimmed.unfinished + unfinished,
    };
    return { messages: gone.length, unfinished };
  }

  range(range: MessageRange): StoredMessage[] {
    const { topic, fromMs = -Infinity, toMs = Infinity, status, after = 0, limit } = range;
    return this.messages
      .filter((message) => topic === undefined || fits(topic, message.topic))
      .filter(({ publishedAtMs }) => publishedAtMs >= fromMs && publishedAtMs < toMs)
      .filter((message) => message.position > after && (status === undefined || message.status === status))
      .slice(0, limit);
  }

  stats(): StoreStats {
    const byStatus: Record<MessageStatus, number> = {
      pending: 0,
      delivered: 0,
      handled: 0,
      failed: 0,
      expired: 0,
      dead: 0,
    };
    for (const { status } of this.messages) byStatus[status]++;
    return {
      messages: this.messages.length,
      payloadBytes: this.messages.reduce(
        (sum, each) => sum + Buffer.byteLength(JSON.stringify(each.payload)),
        0,
      ),
      byStatus,
      topics: new Set(this.messages.map(({ topic }) => topic)).size,
      firstPosition: this.messages[0]?.position ?? 0,
      lastPosition: this.messages.at(-1)?.position ?? 0,
      trimmed: this.trimmed,
      waiting: 0,
    };
  }
}

/** Only for patterns that end in a star. */
function fits(pattern: string, topic: string): boolean {
  return pattern.endsWith('*')
    ? topic.startsWith(pattern.slice(0, -1)) && topic !== pattern.slice(0, -2)
    : topic === pattern;
}
