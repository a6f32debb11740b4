/**
 * A program that saves snapshots of one key in a folder until it is killed or refused. It says `saved 7` once the seventh is safe.
 * Arguments: the folder, and its epoch.
 */

import { fileStates } from '../../adapters/store/file-states.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import { isTroupeError } from '../../src/protocol/errors.ts';
import { say } from './said-lines.ts';
import { KEY, snapshotOf } from './whole-snapshot.ts';

const [folder = '', epoch = '1'] = process.argv.slice(2);
const store = fileStates({ folder });
await store.open(systemHost);
const claim = { epoch: Number(epoch), owner: `life@${epoch}` };
await store.activate(KEY, claim);
say('active');
try {
  for (let n = 1; ; n++) {
    await store.save(KEY, claim, snapshotOf(Number(epoch), n));
    say(`saved ${n}`);
  }
} catch (error) {
  say(isTroupeError(error, 'ERR_EPOCH_STALE') ? `stale ${error.details.heldEpoch}` : String(error));
}
await store.close();
