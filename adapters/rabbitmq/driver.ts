/** The package `amqplib`, loaded when a broker is opened: it is an optional peer of this package. */

import { TroupeError } from '../../src/protocol/errors.ts';

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
