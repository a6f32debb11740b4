import { describe, expect, it } from 'vitest';
import {
  formatBaggage,
  formatTraceparent,
  parseBaggage,
  parseTraceparent,
} from '../../runtime/observe/w3c.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('a traceparent', () => {
  // Trace Context, section 3.2.4: examples.
  it.each([
    ['sampled', `00-${TRACE}-${SPAN}-01`, 1],
    ['not sampled', `00-${TRACE}-${SPAN}-00`, 0],
  ])('of the specification, %s, is read and written as it was', (_, text, traceFlags) => {
    const span = parseTraceparent(text);
    expect(span).toEqual({ traceId: TRACE, spanId: SPAN, traceFlags });
    expect(span && formatTraceparent(span)).toBe(text);
  });

  // Trace Context, section 3.2.2.1: a later version is read by what this one knows.
  it.each([
    ['with nothing more', `cc-${TRACE}-${SPAN}-01`],
    ['with more behind a dash', `cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`],
  ])('of a later version, %s, is read', (_, text) => {
    expect(parseTraceparent(text)).toEqual({ traceId: TRACE, spanId: SPAN, traceFlags: 1 });
  });

  it('keeps the flags it knows, and no others', () => {
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-ff`)?.traceFlags).toBe(3);
  });

  // The W3C's own test suite (trace-context/test/test.py) has these among its malformed ones.
  it.each([
    ['of version ff', `ff-${TRACE}-${SPAN}-01`],
    ['of this version with more', `00-${TRACE}-${SPAN}-01-what-the-future-will-be-like`],
    ['of a later version with more, but no dash', `cc-${TRACE}-${SPAN}-01.what`],
    ['of version 0', `0-${TRACE}-${SPAN}-01`],
    ['of version 0x', `0x-${TRACE}-${SPAN}-01`],
    ['with a trace id of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['with a trace id that is too short', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['with a trace id in upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['with a span id of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['with a span id that is no hexadecimal number', `00-${TRACE}-.${SPAN.slice(1)}-01`],
    ['with flags that are too short', `00-${TRACE}-${SPAN}-1`],
    ['with flags that are no hexadecimal number', `00-${TRACE}-${SPAN}-.0`],
    ['without dashes', `00${TRACE}${SPAN}01`],
    ['with spaces around', ` 00-${TRACE}-${SPAN}-01`],
    ['that is empty', ''],
    ['of a hundred thousand characters', '0'.repeat(100_000)],
  ])('%s is as if it were absent', (_, text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });
});

describe('a baggage', () => {
  const entries = (text: string) => parseBaggage(text)?.getAllEntries();

  // Baggage, section 3.3: examples.
  it('of the specification is read, with spaces and properties', () => {
    const text = 'key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue';
    expect(entries(text)?.map(([key, { value, metadata }]) => [key, value, metadata?.toString()])).toEqual([
      ['key1', 'value1', 'property1;property2'],
      ['key2', 'value2', undefined],
      ['key3', 'value3', 'propertyKey=propertyValue'],
    ]);
  });

  it('is read and written with percent-encoded values', () => {
    const text = 'userId=Am%C3%A9lie,serverNode=DF%2028,isProduction=false';
    expect(entries(text)?.[0]).toEqual(['userId', { value: 'Amélie' }]);
    const baggage = parseBaggage(text);
    expect(baggage && formatBaggage(baggage)).toBe(text);
  });

  it('loses a member that is not well formed, and keeps the others', () => {
    expect(entries('no value,a b=1,=2,bad=%zz,good=3')?.map(([key]) => key)).toEqual(['good']);
  });

  it('holds 64 members at most', () => {
    const text = Array.from({ length: 100 }, (_, i) => `k${i}=v`).join(',');
    expect(entries(text)).toHaveLength(64);
  });

  it('of more than 8,192 characters is as if it were absent', () => {
    expect(parseBaggage(`key=${'v'.repeat(8_192)}`)).toBeUndefined();
    expect(parseBaggage('')).toBeUndefined();
  });

  it('is written up to 8,192 characters: what does not fit is left out', () => {
    const baggage = parseBaggage('small=1')
      ?.setEntry('large', { value: 'ä'.repeat(2_000) })
      .setEntry('last', { value: '2' });
    expect(baggage && formatBaggage(baggage)).toBe('small=1,last=2');
  });
});
