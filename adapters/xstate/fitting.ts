/**
 * Whether a machine and a protocol fit: every message has to be an event of the machine. Only types; each misfit is a text that names
 * the message, and stands as the last line of what the compiler says.
 */

import type { AnyStateMachine, EventFromLogic } from 'xstate';
import type { AnyProtocol, Ask, PayloadOf, Tell } from '../../src/protocol/protocol.ts';

/** The event that a message arrives as. */
export type EventOf<Name, Payload> = [Payload] extends [void]
  ? { readonly type: Name }
  : Payload & { readonly type: Name };

type IsAny<T> = 0 extends 1 & T ? true : false;

/** `true` where any member of a union has a field `type`. */
type OwnType<T> = T extends unknown ? ('type' extends keyof T ? true : never) : never;

/** What is wrong with a payload; never where nothing is. */
type PayloadFault<Name extends string, Payload> =
  IsAny<Payload> extends true
    ? `the payload of '${Name}' may be anything: say what object it is`
    : [Payload] extends [void]
      ? never
      : [Payload] extends [object]
        ? Extract<Payload, readonly unknown[] | ((...parameters: never[]) => unknown)> extends never
          ? [OwnType<Payload>] extends [never]
            ? never
            : `the payload of '${Name}' has a field 'type': that is the name of the event`
          : `the payload of '${Name}' is no plain object: its fields would be those of the event`
        : `the payload of '${Name}' is no object: its fields would be those of the event`;

type EventFault<Name extends string, Payload, Event extends { type: string }> = [
  EventOf<Name, Payload>,
] extends [Event]
  ? never
  : Name extends Event['type']
    ? `the event '${Name}' of the machine does not take the payload of that message`
    : `the machine has no event '${Name}', which the protocol has as a message`;

type MessageFault<Name extends string, Message, Event extends { type: string }> = Message extends
  | Tell<never>
  | Ask<never, unknown>
  ? [PayloadFault<Name, PayloadOf<Message>>] extends [never]
    ? EventFault<Name, PayloadOf<Message>, Event>
    : PayloadFault<Name, PayloadOf<Message>>
  : `a machine cannot answer '${Name}': it takes what is told or asked`;

/** What does not fit; never where all does. */
export type Misfit<P extends AnyProtocol, M extends AnyStateMachine> = {
  [Name in keyof P['messages'] & string]: MessageFault<Name, P['messages'][Name], EventFromLogic<M>>;
}[keyof P['messages'] & string];

/** Any machine where all fits, else what does not. */
export type Fitting<P extends AnyProtocol, M extends AnyStateMachine> = [Misfit<P, M>] extends [never]
  ? unknown
  : Misfit<P, M>;
