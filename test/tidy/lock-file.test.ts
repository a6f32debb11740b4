import { describe, expect, it } from 'vitest';
import { read } from './tree.ts';

interface Locked {
  readonly resolved?: string;
  readonly optionalDependencies?: Record<string, string>;
}

const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> };

/** Whether `name`, asked for by the package at `from`, is in the lock file: beside it or further up. */
function isLocked(name: string, from: string): boolean {
  for (let base = from; ; base = base.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
    if (`${base === '' ? '' : `${base}/`}node_modules/${name}` in packages) return true;
    if (base === '') return false;
  }
}

describe('the lock file', () => {
  it('says versions and hashes, not the host they came from', () => {
    expect(Object.keys(packages).length).toBeGreaterThan(1);
    const resolved = Object.keys(packages).filter((path) => packages[path]?.resolved !== undefined);
    expect(resolved).toEqual([]);
  });

  // An install from a registry that lacks some of them drops them silently, and then `npm ci` refuses to run.
  it('lists the binaries of every platform', () => {
    const asked = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).map((name) => ({ name, path })),
    );
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter(({ name, path }) => !isLocked(name, path))).toEqual([]);
  });
});
