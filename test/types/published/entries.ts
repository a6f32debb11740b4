/** Every entry as users import it, without `skipLibCheck`: no declaration of the package may miss another one. */

import * as troupe from 'troupe';
import * as otel from 'troupe/otel';
import * as store from 'troupe/store';
import * as testing from 'troupe/testing';

export const entries: readonly object[] = [troupe, otel, store, testing];
