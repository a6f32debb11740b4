/** Every entry as users import it, without `skipLibCheck`: no declaration of the package may miss another one. */

import * as troupe from 'troupe';
import * as kafka from 'troupe/kafka';
import * as loopback from 'troupe/loopback';
import * as memory from 'troupe/memory';
import * as otel from 'troupe/otel';
import * as rabbitmq from 'troupe/rabbitmq';
import * as redis from 'troupe/redis';
import * as store from 'troupe/store';
import * as testing from 'troupe/testing';
import * as xstate from 'troupe/xstate';

export const entries: readonly object[] = [
  troupe,
  kafka,
  loopback,
  memory,
  otel,
  rabbitmq,
  redis,
  store,
  testing,
  xstate,
];
