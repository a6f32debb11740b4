/**
 * The measured programs, built and run. `tsc` emits them, with the runtime they import, as plain JavaScript into a
 * temporary folder, and each runs in a process of its own: plain `node`, no loader. The folder carries the package's
 * name, so that `import ... from 'troupe'` finds the runtime that was just built and never an older build.
 */

import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
/** A program ends by itself long before; this ends one that never returns to its event loop. */
const RUN_MS_MAX = 30 * 60_000;

const PACKAGE = { name: 'troupe', type: 'module', exports: { '.': './src/index.js' } };

const run = promisify(execFile);

/** How a program is run. */
export interface RunOptions {
  readonly parameters?: readonly string[];
  /** Flags of `node` itself. */
  readonly flags?: readonly string[];
}

/** The programs in their temporary folder. */
export class Programs {
  private readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * Builds all of them, of this checkout or of another one, with the compiler and packages of this one. Fails with the
   * compiler's words if they cannot be emitted.
   */
  static async build(root: string = ROOT): Promise<Programs> {
    const folder = await mkdtemp(join(tmpdir(), 'troupe-bench-'));
    const programs = new Programs(folder);
    try {
      const compiler = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
      await runNode([
        join(compiler, 'bin/tsc'),
        '-p',
        join(root, 'test/bench/tsconfig.json'),
        '--outDir',
        folder,
      ]);
      await writeFile(join(folder, 'package.json'), JSON.stringify(PACKAGE));
      await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
      return programs;
    } catch (error) {
      await programs.remove();
      throw error;
    }
  }

  /** Runs the program at `path` (below this folder, without extension); answers the JSON that it prints. */
  async run(path: string, { parameters = [], flags = [] }: RunOptions = {}): Promise<unknown> {
    const file = join(this.folder, 'test/bench', `${path}.js`);
    const output = await runNode([...flags, file, ...parameters]);
    return JSON.parse(output);
  }

  /** From now on these programs are those of `others`, while the runtime stays what it is. */
  async take(others: Programs): Promise<void> {
    const to = join(this.folder, 'test/bench');
    await rm(to, { recursive: true, force: true });
    await cp(join(others.folder, 'test/bench'), to, { recursive: true });
  }

  /** Removes the folder. */
  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Runs plain node; answers what it wrote, and fails with what it complained about. */
async function runNode(parameters: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(process.execPath, parameters, {
      cwd: ROOT,
      env: { ...process.env, NODE_OPTIONS: '' },
      maxBuffer: OUTPUT_BYTES_MAX,
      timeout: RUN_MS_MAX,
    });
    return stdout;
  } catch (error) {
    throw new Error(`node ${parameters.join(' ')} failed:\n${complaint(error)}`, { cause: error });
  }
}

/** What a failed process wrote, its errors before its output, or else what is known of its end. */
function complaint(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  for (const key of ['stderr', 'stdout'] as const) {
    const text: unknown = Reflect.get(error, key);
    if (typeof text === 'string' && text.trim() !== '') return text.trim();
  }
  return error.message;
}
