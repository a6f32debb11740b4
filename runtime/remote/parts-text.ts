/** Numbers of parts, as they travel in the correlation id of what is said about a stream. */

/** Whole numbers in decimal digits: none that another text means as well. */
const DIGITS = /^(?:0|[1-9]\d{0,14})$/;

/** A number of parts as a text, where there is one. */
export function partsText(parts: number | undefined): string | undefined {
  return parts === undefined ? undefined : String(parts);
}

/** The number of parts in a text; undefined where it is none. */
export function partsIn(text: string | undefined): number | undefined {
  return text !== undefined && DIGITS.test(text) ? Number(text) : undefined;
}
