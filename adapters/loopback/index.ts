/** `troupe/loopback`: a broker that one process serves to the others of its machine, with nothing to install. */

export { type LoopbackOptions, loopback } from './broker.ts';
export { type LoopbackServer, type LoopbackServerOptions, serveLoopback } from './server.ts';
