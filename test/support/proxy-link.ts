/** A proxy as the link of one node. The proxy cuts once; a link stays cut until it is healed. */

import type { LinkControl, LinkFault } from './broker-harness.ts';
import type { Proxy } from './proxy.ts';

/** What a link over TCP can do: all of it. */
export const PROXY_LINK_FAULTS: readonly LinkFault[] = [
  'cutRst',
  'cutFin',
  'halfOpen',
  'oneWay',
  'latency',
  'byteByByte',
  'cutAfterBytes',
];

/** The faults of one node's proxy: one at a time, as the last call says. */
export function proxyLink(proxy: Proxy): LinkControl {
  const instead = (fault: () => void): void => {
    proxy.heal();
    fault();
  };
  return {
    cutRst: () =>
      instead(() => {
        proxy.refuse();
        proxy.cutRst();
      }),
    cutFin: () =>
      instead(() => {
        proxy.refuse();
        proxy.cutFin();
      }),
    halfOpen: () => instead(() => proxy.halfOpen()),
    oneWay: (direction) => instead(() => proxy.oneWay(direction)),
    latency: (ms) => instead(() => proxy.latency(ms)),
    byteByByte: () => instead(() => proxy.byteByByte()),
    cutAfterBytes: (bytes, direction) => instead(() => proxy.cutAfterBytes(direction, bytes)),
    heal: () => proxy.heal(),
  };
}

/** What others see when the process of the node behind this proxy is killed: its connections are reset, and it never comes back. */
export function killBehind(proxy: Proxy): void {
  proxy.refuse();
  proxy.cutRst();
}
