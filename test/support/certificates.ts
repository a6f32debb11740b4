/** An authority of the tests' own, and certificates of it for a server called `localhost` and for a client. Made by openssl, for a day. */

import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Paths of PEM files, and what is in them. */
export interface Certificates {
  readonly files: Readonly<Record<'ca' | 'serverCert' | 'serverKey', string>>;
  readonly ca: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

/** Makes them in a folder. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const at = (name: string): string => join(folder, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  const openssl = async (...parameters: readonly string[]): Promise<void> => {
    await run('openssl', parameters, { cwd: folder });
  };
  await openssl('req', '-x509', ...key, '-subj', '/CN=tests', '-keyout', 'ca.key', '-out', 'ca.pem');
  for (const name of ['server', 'client']) {
    const subject = `/CN=${name === 'server' ? 'localhost' : name}`;
    await openssl('req', ...key, '-subj', subject, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    await writeFile(at(`${name}.ext`), name === 'server' ? 'subjectAltName=DNS:localhost\n' : '');
    const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1'];
    await openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      ...signing,
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.pem`,
    );
  }
  return {
    files: { ca: at('ca.pem'), serverCert: at('server.pem'), serverKey: at('server.key') },
    ca: await readFile(at('ca.pem'), 'utf8'),
    clientCert: await readFile(at('client.pem'), 'utf8'),
    clientKey: await readFile(at('client.key'), 'utf8'),
  };
}
