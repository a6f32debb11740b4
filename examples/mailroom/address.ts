/** The first mailbox of an address field (RFC 5322 section 3.4), read leniently: display names of spam follow no grammar. */

/** A mailbox of an address field. */
export interface Address {
  /** Display name without quotes, perhaps empty. */
  readonly name: string;
  /** The address in lower case, perhaps empty. */
  readonly address: string;
}

/** Reads `Name <address>`, `address (Name)` or a bare address from a decoded field value. */
export function parseAddress(value: string): Address {
  const open = value.lastIndexOf('<');
  const close = value.indexOf('>', open + 1);
  if (open >= 0 && close > open) {
    return {
      name: unquote(value.slice(0, open)),
      address: value
        .slice(open + 1, close)
        .trim()
        .toLowerCase(),
    };
  }
  const comment = value.indexOf('(');
  const bare = comment < 0 ? value : value.slice(0, comment);
  const name = comment < 0 ? '' : value.slice(comment + 1).replace(/\)\s*$/, '');
  return { name: unquote(name), address: unquote(bare).toLowerCase() };
}

/** The host of an address, perhaps empty. */
export function addressHost(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1 || address.length);
}

function unquote(text: string): string {
  return text
    .trim()
    .replace(/^["']+|["']+$/g, '')
    .trim();
}
