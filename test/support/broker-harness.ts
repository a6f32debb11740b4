/**
 * What the contract of brokers needs to know of one adapter: how nodes of it are made, how time passes, what can be looked at
 * beside the port, and what can be broken. Only these types: the cases are in `test/contract/broker.contract.ts`.
 */

import type { Broker, BrokerCapabilities, BrokerOptions, NodeIdentity } from '../../src/protocol/broker.ts';
import type { Host } from '../../src/protocol/clock.ts';

/** An adapter, under test. Nothing in the suite asks for its name: what differs is in `capabilities` and `faults`. */
export interface BrokerHarness {
  /** What stands at the head of its tests: `redis 7.0`, `rabbitmq (classic)`. */
  readonly name: string;
  /** Its row of the flag table, written down in its test: an opened adapter must say the same, field by field. */
  readonly capabilities: BrokerCapabilities;
  /** Time and chance that every broker of the suite is opened with. */
  readonly host: Host;
  /** Called once before the first case: starts servers, or finds them. What it throws fails every case. */
  start?(): Promise<void>;
  /** Called once after the last case. Nothing that `start` began is left. */
  stop?(): Promise<void>;
  /** Makes a broker that is not open yet. Those with the same `options.prefix` meet, and nobody else. */
  connect(request: ConnectRequest): Promise<ConnectedNode>;
  /**
   * Lets about `ms` pass on `host.clock`, and everything happen meanwhile. Virtual clocks go on by themselves; real ones wait.
   * The suite calls it in small steps while it waits for something, so it is never the reason why something arrives.
   */
  advance(ms: number): Promise<void>;
  /** The dead letters below a prefix, oldest first. */
  deadFrames(prefix: string): Promise<readonly DeadFrame[]>;
  /** Names of all that exists at the broker below a prefix, dead letters and what is made once for a prefix apart. */
  leftovers(prefix: string): Promise<readonly string[]>;
  /** Removes all below a prefix, dead letters included. Every broker of it is closed or killed before. */
  clean(prefix: string): Promise<void>;
  /** What can be broken. A case that needs what is not here is skipped, and its name says what was missing. */
  readonly faults: BrokerFaults;
  /** Sizes for cases that grow with the broker's speed; each has a default. */
  readonly sizes?: Partial<BrokerSizes> | undefined;
}

export interface ConnectRequest {
  /** Whom it will be opened for. */
  readonly node: NodeIdentity;
  /** Always with a prefix; the harness adds the address, credentials, and options of its own. */
  readonly options: BrokerOptions & { readonly prefix: string };
  /** Its connections go through a link of its own, so that they can be cut alone. Only asked where `faults.link` has an entry. */
  readonly hasLink: boolean;
}

export interface ConnectedNode {
  readonly broker: Broker;
  /** Where `hasLink` was asked. */
  readonly link: LinkControl | undefined;
  /**
   * What SIGKILL of its process does, as others see it: its connections are reset, nothing of it is ever sent again, and it never comes
   * back. The object in this process may go on trying, and `broker.close()` still resolves.
   */
  kill(): Promise<void>;
}

/** A frame that was given up, as an operator finds it. */
export interface DeadFrame {
  readonly bytes: Uint8Array;
  readonly reason: string;
  readonly error: string | undefined;
}

export interface BrokerSizes {
  /** Frames of the case about order. */
  readonly ordered: number;
  /** Frames of a backlog that an urgent one overtakes; below `maxLength`'s default. */
  readonly backlog: number;
  /** Nodes, and topics, at once. */
  readonly nodes: number;
  readonly topics: number;
  /** Shards that all nodes claim at once. */
  readonly shards: number;
  /** Random schedules of faults, and steps of each. */
  readonly schedules: number;
  readonly scheduleSteps: number;
  /** How often a connection is cut in the case about flapping. */
  readonly flaps: number;
}

export interface BrokerFaults {
  /** The server: all worlds of this harness feel it. */
  readonly server?: ServerControl | undefined;
  /** Which faults a link knows; without any, no case asks for a link. */
  readonly link: readonly LinkFault[];
  /** Makes the server refuse what is published, by an alarm or by no memory, until the answer is called. */
  readonly refuseAll?: (() => Promise<() => Promise<void>>) | undefined;
  /** Makes every attempt to keep a dead letter below a prefix fail, until the answer is called. */
  readonly refuseDeadLetters?: ((prefix: string) => Promise<() => Promise<void>>) | undefined;
  /** Brokers with wrong credentials, or without a permission, each with what is wrong about it. */
  readonly denied?: readonly {
    readonly problem: string;
    readonly secret: string;
    readonly connect: (prefix: string) => Broker;
  }[];
  /** Attempts to connect so far, of all clients: counted by a link or the server. For the case about retry storms. */
  readonly connectAttempts?: (() => number) | undefined;
  /** Moves the wall clock of the host that the suite opens brokers with, until moved back. */
  readonly jumpWallClock?: ((ms: number) => void) | undefined;
}

/** A server in a process of its own, on a port and a folder that stay the same. */
export interface ServerControl {
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again, on its data; resolves when it answers. */
  restart(): Promise<void>;
  /** SIGSTOP. */
  pause(): Promise<void>;
  /** SIGCONT. */
  resume(): Promise<void>;
}

/** The way of bytes through a link. */
export type LinkDirection = 'to-server' | 'to-client';

/** One node's way to the server. A fault lasts until `heal`, for connections made meanwhile as well; the last one called counts. */
export interface LinkControl {
  /** Resets what is open; new connections are reset at once. */
  cutRst(): Promise<void> | void;
  /** Ends what is open in order, and new connections at once. */
  cutFin(): Promise<void> | void;
  /** Both directions are silent; nothing is closed, new connections are accepted and silent. */
  halfOpen(): Promise<void> | void;
  /** One direction is silent: bytes going that way are dropped. */
  oneWay(direction: LinkDirection): Promise<void> | void;
  /** Every byte is late by this much, in order, both ways. */
  latency(ms: number): Promise<void> | void;
  /** Each byte is a segment of its own. */
  byteByByte(): Promise<void> | void;
  /** Lets this many more bytes pass in a direction, then resets that connection: once, inside whatever is under way. */
  cutAfterBytes(bytes: number, direction: LinkDirection): Promise<void> | void;
  /** Everything as it was. What was dropped stays dropped, so connections that were silent are reset. */
  heal(): Promise<void> | void;
}

export type LinkFault = Exclude<keyof LinkControl, 'heal'>;
