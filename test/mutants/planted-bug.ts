/** A bug that is planted on purpose, to see whether a test notices it. */

/** One bug: `find` stands in `file` exactly once and becomes `replace`. */
export interface PlantedBug {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly tests: readonly string[];
}
