/**
 * Every bound of the mail parsers. The strict parser refuses what exceeds one (rule `limit-exceeded`); the lenient
 * parser stops reading there and says so in a warning. RFC 5321 section 4.5.3.1.9 allows a receiver to refuse by its own limits.
 */
export const MAIL_LIMITS = {
  /** 25 MiB a mail: what large providers accept. The lenient parser reads the first 25 MiB. */
  mailSizeBytes: 25 * 1024 * 1024,
  /** 256 KiB for the header section of one part; real ones seldom pass 10 KiB. */
  headerSectionBytes: 256 * 1024,
  /** 1,000 header fields in one part. */
  headersMax: 1_000,
  /** 16 levels of multipart or enclosed mail: each level scans its slice once, so this also bounds the work. */
  depthMax: 16,
  /** 1,000 parts in the whole mail, containers included. */
  partsMax: 1_000,
  /** 64 parameters in one structured field. */
  parametersMax: 64,
  /** 1,000 links remembered from HTML; more are not looked at (no rule: a newsletter may have them). */
  linksMax: 1_000,
  /** 2 Mi characters of one HTML part are read for text and links, a hundred times the usual; the rest is not looked at. */
  htmlCharactersMax: 2 * 1024 * 1024,
  /** 100 warnings remembered by the lenient parser: the first ones. */
  warningsMax: 100,
} as const;
