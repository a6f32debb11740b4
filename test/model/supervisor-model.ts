/**
 * A plain model of Erlang/OTP's supervisor: everything happens at once and in order. Supervisors may hold supervisors. It
 * departs from OTP where Troupe does on purpose: a supervisor that gives up ends abnormally (D11). It knows no time: each
 * restart is in the window.
 */

import type { LogLine, Outcome, RecordedChild, RecordedEvent, Scenario } from '../otp/trace.ts';

/** A supervisor as data: what it is, and its children by name. */
export interface ModelSpec extends Pick<Scenario, 'strategy' | 'intensity' | 'auto_shutdown'> {
  readonly restart: RecordedChild['restart'];
  readonly significant: boolean;
  readonly children: Readonly<Record<string, RecordedChild | ModelSpec>>;
}

/** How a supervisor is: it runs, or it ended in one of two ways. */
export type ModelStatus = 'not_started' | 'running' | 'shutdown' | 'escalated';

type Log = (line: LogLine) => void;

interface ModelChild {
  readonly id: string;
  readonly restart: RecordedChild['restart'];
  readonly significant: boolean;
  state: 'running' | 'restarting' | 'undefined';
  /** Undefined when it has started, else the name of what did not. */
  start(): string | undefined;
  /** Ends it because its supervisor says so. */
  terminate(): void;
}

class Worker implements ModelChild {
  state: ModelChild['state'] = 'undefined';
  readonly id: string;
  readonly restart: RecordedChild['restart'];
  readonly significant: boolean;
  readonly recorded: RecordedChild;
  private readonly log: Log;
  private readonly starts: Map<string, number>;

  constructor(id: string, recorded: RecordedChild, log: Log, starts: Map<string, number>) {
    this.id = id;
    this.recorded = recorded;
    this.restart = recorded.restart;
    this.significant = recorded.significant;
    this.log = log;
    this.starts = starts;
  }

  start(): string | undefined {
    const number = (this.starts.get(this.id) ?? 0) + 1;
    this.starts.set(this.id, number);
    const fails = this.recorded.failing_start_attempts.includes(number);
    this.log([fails ? 'start_failed' : 'start', this.id, number]);
    if (fails) return this.id;
    this.state = 'running';
    return undefined;
  }

  terminate(): void {
    if (this.state === 'running' && this.recorded.shutdown !== 'brutal_kill')
      this.log(['terminate', this.id, 'shutdown']);
    this.state = 'undefined';
  }
}

/** One supervisor of the model, with everything below it. */
export class ModelSupervisor implements ModelChild {
  state: ModelChild['state'] = 'undefined';
  status: ModelStatus = 'not_started';
  readonly id: string;
  readonly restart: RecordedChild['restart'];
  readonly significant: boolean;
  children: ModelChild[] = [];
  private restarts = 0;
  private readonly spec: ModelSpec;
  private readonly log: Log;
  private readonly starts: Map<string, number>;
  private readonly parent: ModelSupervisor | undefined;

  constructor(
    id: string,
    spec: ModelSpec,
    log: Log,
    starts = new Map<string, number>(),
    parent?: ModelSupervisor,
  ) {
    this.id = id;
    this.spec = spec;
    this.restart = spec.restart;
    this.significant = spec.significant;
    this.log = log;
    this.starts = starts;
    this.parent = parent;
  }

  start(): string | undefined {
    this.restarts = 0;
    this.children = Object.entries(this.spec.children).map(([id, child]) => this.make(id, child));
    for (const child of this.children) {
      const failed = child.start();
      if (failed === undefined) continue;
      this.stopAll();
      return failed;
    }
    this.state = 'running';
    this.status = 'running';
    return undefined;
  }

  terminate(): void {
    this.stopAll();
    this.state = 'undefined';
    if (this.status === 'running') this.status = 'shutdown';
  }

  /** The worker of this name ends of its own will, or is killed. */
  exit(id: string, reason: string): string {
    const child = this.find(id);
    if (!(child instanceof Worker) || child.state !== 'running') return 'not_running';
    if (reason !== 'kill') this.log(['terminate', id, reason]);
    this.ended(child, reason === 'crash' || reason === 'kill');
    return 'ok';
  }

  startChild(id: string, recorded: RecordedChild): string {
    const held = this.find(id);
    if (held !== undefined) return held.state === 'undefined' ? 'already_present' : 'already_started';
    const child = this.make(id, recorded);
    if (child.start() !== undefined) return 'start_failed';
    this.children.push(child);
    return 'ok';
  }

  terminateChild(id: string): string {
    const child = this.find(id);
    if (child === undefined) return 'not_found';
    child.terminate();
    this.forget(child);
    return 'ok';
  }

  restartChild(id: string): string {
    const child = this.find(id);
    if (child === undefined) return 'not_found';
    if (child.state !== 'undefined') return child.state;
    return child.start() === undefined ? 'ok' : 'start_failed';
  }

  deleteChild(id: string): string {
    const child = this.find(id);
    if (child === undefined) return 'not_found';
    if (child.state !== 'undefined') return child.state;
    this.children = this.children.filter((other) => other !== child);
    return 'ok';
  }

  find(id: string): ModelChild | undefined {
    return this.children.find((child) => child.id === id);
  }

  private make(id: string, child: RecordedChild | ModelSpec): ModelChild {
    return 'children' in child
      ? new ModelSupervisor(id, child, this.log, this.starts, this)
      : new Worker(id, child, this.log, this.starts);
  }

  /** What follows from the end of a child that nobody here has asked for. */
  private ended(child: ModelChild, isAbnormal: boolean): void {
    child.state = 'undefined';
    if (child.restart === 'permanent' || (child.restart === 'transient' && isAbnormal)) {
      this.restartChildren(child);
      return;
    }
    this.forget(child);
    if (!child.significant) return;
    const isLast = !this.children.some((other) => other.significant && other.state !== 'undefined');
    const { auto_shutdown } = this.spec;
    if (auto_shutdown === 'any_significant' || (auto_shutdown === 'all_significant' && isLast))
      this.end('shutdown');
  }

  private restartChildren(first: ModelChild): void {
    for (let child: ModelChild | undefined = first; child !== undefined; ) {
      if (++this.restarts > this.spec.intensity) {
        this.end('escalated');
        return;
      }
      const group = this.affected(child);
      for (const each of [...group].reverse()) {
        each.terminate();
        if (each !== child && each.restart === 'temporary') this.forget(each);
      }
      const next: ModelChild | undefined = group.find(
        (each) => this.children.includes(each) && each.start() !== undefined,
      );
      if (next !== undefined) next.state = 'restarting';
      child = next;
    }
  }

  private affected(child: ModelChild): readonly ModelChild[] {
    if (this.spec.strategy === 'one_for_all') return [...this.children];
    if (this.spec.strategy === 'rest_for_one') return this.children.slice(this.children.indexOf(child));
    return [child];
  }

  private end(how: 'shutdown' | 'escalated'): void {
    this.stopAll();
    this.status = how;
    this.state = 'undefined';
    this.parent?.ended(this, how === 'escalated');
  }

  private stopAll(): void {
    for (const child of [...this.children].reverse()) child.terminate();
    this.children = [];
  }

  private forget(child: ModelChild): void {
    if (child.restart === 'temporary' || this.spec.strategy === 'simple_one_for_one')
      this.children = this.children.filter((other) => other !== child);
  }
}

/** What the model says can be seen after each event of a scenario. */
export function modelOutcomes(scenario: Scenario): readonly (Outcome & { readonly ended: ModelStatus })[] {
  let log: LogLine[] = [];
  const { strategy, intensity, auto_shutdown } = scenario;
  const isDynamic = strategy === 'simple_one_for_one';
  const children = Object.fromEntries(isDynamic ? [] : scenario.children.map((child) => [child.id, child]));
  const spec: ModelSpec = {
    strategy,
    intensity,
    auto_shutdown,
    restart: 'temporary',
    significant: false,
    children,
  };
  const own = new ModelSupervisor('own', spec, (line) => log.push(line));
  const known = new Set<string>();
  const perform = (event: RecordedEvent): Outcome['result'] => {
    switch (event.op) {
      case 'start_supervisor': {
        const failed = own.start();
        return failed === undefined ? 'ok' : ['failed_to_start_child', failed];
      }
      case 'stop_supervisor':
        if (own.status !== 'running') return 'already_down';
        own.terminate();
        return 'shutdown';
      case 'start_child': {
        const id = event.spec?.id ?? event.child ?? '';
        const recorded = event.spec ?? scenario.children[0];
        const result = recorded === undefined ? 'no_spec' : own.startChild(id, recorded);
        if (result === 'ok') known.add(id);
        return result;
      }
      case 'terminate_child': {
        const result = own.terminateChild(event.child);
        return result === 'not_found' && isDynamic ? (known.has(event.child) ? 'ok' : 'not_running') : result;
      }
      case 'restart_child':
        return own.restartChild(event.child);
      case 'delete_child':
        return own.deleteChild(event.child);
      case 'exit':
        return own.exit(event.child, event.reason);
    }
  };
  return scenario.steps.map(({ event }) => {
    log = [];
    const result = perform(event);
    const { status } = own;
    return {
      result,
      supervisor: status === 'escalated' ? 'shutdown' : status,
      ended: status,
      children: own.children.map(({ id, state }) => [id, state] as const),
      log,
    };
  });
}
