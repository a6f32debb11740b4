/** Colours for a terminal that wants them: `NO_COLOR` is respected (https://no-color.org), and so is a pipe. */

const STYLES = {
  bold: '1',
  dim: '2',
  red: '31',
  green: '32',
  yellow: '33',
  blue: '34',
  cyan: '36',
} as const;

/** How a text may look. */
export type Style = keyof typeof STYLES;

/** Gives a text a style, or leaves it as it is. */
export type Paint = (style: Style, text: string) => string;

/** What is known of where the text goes. */
export interface Outlet {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether lines can be redrawn there. */
export function isLive(outlet: Outlet, environment: Environment): boolean {
  return outlet.isTTY === true && environment['TERM'] !== 'dumb';
}

/** The paint for an outlet. */
export function paintFor(outlet: Outlet, environment: Environment): Paint {
  const isColoured = isLive(outlet, environment) && (environment['NO_COLOR'] ?? '') === '';
  return isColoured ? (style, text) => `\u001b[${STYLES[style]}m${text}\u001b[0m` : (_style, text) => text;
}
