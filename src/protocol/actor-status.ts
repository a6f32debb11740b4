/** What an actor is doing. */
export type ActorStatus =
  | 'starting'
  | 'running'
  | 'restarting'
  | 'suspended'
  | 'draining'
  | 'stopping'
  | 'stopped';
