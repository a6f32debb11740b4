/**
 * What a state store does in one step at the server. A key is a hash: `epoch` and `owner` of the claim that holds it, `writer`, the store
 * by which that claim writes, `change`, the number of the last change by that store, and `snapshot`. A number that is not higher than
 * `change` is that of a call that a lost connection left on its way: it has no effect. Numbers are whole and below 2^53, which Lua compares exactly.
 */

import { script } from './scripts.ts';

/** KEYS[1]: the hash. ARGV: epoch, owner, writer, number of the change. */
const HELD = `local held = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'writer', 'change')
local epoch, mine = tonumber(held[1] or '0'), tonumber(ARGV[1])`;

const MUST_HOLD = `${HELD}
if epoch ~= mine or held[2] ~= ARGV[2] or held[3] ~= ARGV[3] then return { 'stale', held[1] or '0' } end
if tonumber(held[4]) >= tonumber(ARGV[4]) then return { 'late' } end`;

/** Answers `{ 'ok', snapshot }` or `{ 'stale', epoch }`. */
export const ACTIVATE = script(`
${HELD}
if epoch > mine or (epoch == mine and held[2] ~= ARGV[2]) then return { 'stale', held[1] } end
local isLate = epoch == mine and held[3] == ARGV[3] and tonumber(held[4]) >= tonumber(ARGV[4])
if not isLate then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'owner', ARGV[2], 'writer', ARGV[3], 'change', ARGV[4])
end
return { 'ok', redis.call('HGET', KEYS[1], 'snapshot') }`);

/** ARGV[5]: the snapshot. Answers `{ 'ok' }`, `{ 'late' }` or `{ 'stale', epoch }`. */
export const SAVE = script(`
${MUST_HOLD}
redis.call('HSET', KEYS[1], 'change', ARGV[4], 'snapshot', ARGV[5])
return { 'ok' }`);

/** Answers as `SAVE` does. */
export const REMOVE = script(`
${MUST_HOLD}
redis.call('HSET', KEYS[1], 'change', ARGV[4])
redis.call('HDEL', KEYS[1], 'snapshot')
return { 'ok' }`);
