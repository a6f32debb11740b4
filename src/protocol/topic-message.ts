/** What a topic brings, as the actors of subscriptions are told it; users see its parts. One is made for all of its copies. */

/** What was published, with its topic. Published declarations of the engine name it, so it is not stripped from them. */
export class TopicMessage {
  /** Parameters and payload in one; the payload where there are no parameters. */
  readonly message: unknown;
  readonly topic: string;
  /** What a bus says beside it. */
  readonly label: BusLabel | undefined;

  constructor(topic: string, message: unknown, label?: BusLabel) {
    this.message = message;
    this.topic = topic;
    this.label = label;
  }
}

/** What a bus says beside a message. */
export interface BusLabel {
  /** Joins messages that belong together. */
  readonly correlationId: string | undefined;
  /** Milliseconds since 1970. */
  readonly publishedAtMs: number;
  /** Its place among all that this bus has published. */
  readonly number: number;
  /** Somebody waited for a reply when it was published. */
  readonly isRequest: boolean;
}

/** What users have published, of a message's payload. @internal */
export function publishedIn(payload: unknown): unknown {
  return payload instanceof TopicMessage ? payload.message : payload;
}
