/** Certificates of the tests' own, made by openssl: an authority, a server and a client that it vouches for, and another authority. */

import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A certificate and its key, as PEM, and where they lie. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Certificates {
  readonly authority: Certificate;
  /** For the name `localhost` alone. */
  readonly server: Certificate;
  readonly client: Certificate;
  /** An authority that vouches for none of them. */
  readonly stranger: Certificate;
}

/** Makes them in a folder. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const authority = await selfSigned(folder, 'authority');
  return {
    authority,
    server: await signed(folder, 'server', authority),
    client: await signed(folder, 'client', authority),
    stranger: await selfSigned(folder, 'stranger'),
  };
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

async function selfSigned(folder: string, name: string): Promise<Certificate> {
  const files = filesOf(folder, name);
  const subject = ['-subj', `/CN=${name}`, '-days', '2'];
  await run('openssl', [
    'req',
    '-x509',
    ...NEW_KEY,
    ...subject,
    '-keyout',
    files.keyFile,
    '-out',
    files.certFile,
  ]);
  return loaded(files);
}

async function signed(folder: string, name: string, authority: Certificate): Promise<Certificate> {
  const files = filesOf(folder, name);
  const [request, extensions] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)];
  await run('openssl', [
    'req',
    ...NEW_KEY,
    '-subj',
    `/CN=${name}`,
    '-keyout',
    files.keyFile,
    '-out',
    request,
  ]);
  await writeFile(extensions, 'subjectAltName=DNS:localhost\n');
  const by = ['-CA', authority.certFile, '-CAkey', authority.keyFile, '-CAcreateserial'];
  await run('openssl', [
    'x509',
    '-req',
    '-in',
    request,
    ...by,
    '-days',
    '2',
    '-extfile',
    extensions,
    '-out',
    files.certFile,
  ]);
  return loaded(files);
}

interface Files {
  readonly certFile: string;
  readonly keyFile: string;
}

function filesOf(folder: string, name: string): Files {
  return { certFile: join(folder, `${name}.pem`), keyFile: join(folder, `${name}.key`) };
}

async function loaded(files: Files): Promise<Certificate> {
  return {
    ...files,
    cert: await readFile(files.certFile, 'utf8'),
    key: await readFile(files.keyFile, 'utf8'),
  };
}
