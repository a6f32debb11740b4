/** The package `amqplib`, loaded when a broker is opened: it is an optional peer of this package. */

import type { ChannelModel } from 'amqplib';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { RabbitmqSettings } from './settings.ts';

/** What is used of the driver. */
export type Driver = Pick<typeof import('amqplib'), 'connect'>;

/** Rejects with `ERR_DRIVER_MISSING`. */
export async function loadDriver(load: () => Promise<Driver> = () => import('amqplib')): Promise<Driver> {
  try {
    return await load();
  } catch (cause) {
    throw new TroupeError('ERR_DRIVER_MISSING', { package: 'amqplib' }, { cause });
  }
}

/** Opens connections under a name that operators see. Aborting the signal destroys the socket at any time. */
export function dialled(
  connect: Driver['connect'],
  settings: RabbitmqSettings,
  name: string,
): (signal: AbortSignal) => Promise<ChannelModel> {
  return async (signal) => {
    // Node's sockets know the signal, and the driver hands it through to them.
    const socket = { ...settings.socket(), signal, clientProperties: { connection_name: name } };
    return connect(settings.dial(), socket);
  };
}
