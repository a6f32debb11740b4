/** Figures and names, and texts from mails, as a terminal can show them. */

/** Names in the corpus end in a checksum of 32 digits: enough of it to find the file. */
export function shortName(name: string): string {
  return printable(name).replace(/\.([0-9a-f]{6})[0-9a-f]{26}\.txt$/, '.$1');
}

/** Text from a mail, fit for a terminal. */
export function quoted(text: string): string {
  const short = printable(text.replace(/\s+/g, ' '));
  return `"${short.length > 56 ? `${short.slice(0, 53)}...` : short}"`;
}

/** Text without what a terminal would take for orders. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}

/** A whole number, or that it is unknown. */
export function count(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? 'unknown' : value.toLocaleString('en');
}
