/** Peers are installed by a package of their own, in this folder, and only where somebody wants to compare: `npm install --prefix test/bench`. */

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Where the peers are: programs run with the repository as their working folder. */
const PACKAGE = join(process.cwd(), 'test/bench/package.json');

/** Whether a peer is installed. */
export function hasPeer(name: string): boolean {
  try {
    createRequire(pathToFileURL(PACKAGE)).resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** A peer, which has what `T` says. */
export async function peer<T>(name: string): Promise<T> {
  return createRequire(pathToFileURL(PACKAGE))(name) as T; // its program says what it uses
}
