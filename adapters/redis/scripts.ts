/**
 * What must be one step at the server. Each script is sent whole once for each connection, and by its digest afterwards. Times are the
 * server's own.
 */

import { createHash } from 'node:crypto';

/** A Lua script and its digest. */
export interface Script {
  readonly text: string;
  readonly digest: string;
}

function script(text: string): Script {
  return { text, digest: createHash('sha1').update(text).digest('hex') };
}

const NOW = `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

/** Interests have changed. A counter would begin anew with an empty table, a time does not. */
const CHANGED = `redis.call('SET', KEYS[3], time[1] .. '.' .. time[2])`;

/**
 * Appends frames, as far as there is room. KEYS: version, nodes, then the streams. ARGV: the version that the places were worked out
 * by, frames a stream may hold, then for each frame: a number for its destination and lane, the name of its node or '', its topic or '', its bytes, how many places
 * it goes to, and their numbers among the streams. Answers 'stale', or one of o(k), f(ull), u(nroutable) for each. A
 * frame gets to all of its places or to none, and nothing passes one of its own destination and lane.
 */
export const PUBLISH = script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] and not (ARGV[1] == '' and redis.call('EXISTS', KEYS[1]) == 0) then return 'stale' end
local room = {}
local function roomOf(key)
  if room[key] == nil then
    local length = redis.call('XLEN', key)
    local given = 0
    if length > 0 then
      local ok = redis.pcall('XPENDING', key, 'readers')
      if type(ok) == 'table' and ok[1] then given = ok[1] end
    end
    room[key] = tonumber(ARGV[2]) - (length - given)
  end
  return room[key]
end
local results, blocked, at = {}, {}, 3
while at <= #ARGV do
  local channel, node, topic, bytes, count = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4])
  local result = 'o'
  if node ~= '' and redis.call('HEXISTS', KEYS[2], node) == 0 then result = 'u' end
  if blocked[channel] then result = 'f' end
  if result == 'o' then
    for n = 1, count do if roomOf(KEYS[2 + tonumber(ARGV[at + 4 + n])]) < 1 then result = 'f' end end
  end
  if result == 'o' then
    for n = 1, count do
      local key = KEYS[2 + tonumber(ARGV[at + 4 + n])]
      room[key] = room[key] - 1
      if topic == '' then redis.call('XADD', key, '*', 'b', bytes)
      else redis.call('XADD', key, '*', 'b', bytes, 't', topic) end
    end
  elseif result == 'f' then blocked[channel] = true end
  results[#results + 1] = result
  at = at + 5 + count
end
return table.concat(results)`);

/**
 * Enters a node with an empty inbox. KEYS: nodes, interests, version, groups, the six inboxes. ARGV: name, incarnation, milliseconds after
 * which a silent node is dead, milliseconds for which an inbox is kept. Answers '', or the incarnation of a living holder of the name.
 */
export const ENTER = script(`
${NOW}
local held = redis.call('HGET', KEYS[1], ARGV[1])
local incarnation, seen
if held then incarnation, seen = held:match('^(%S+) (%d+)$') end
if incarnation ~= ARGV[2] then
  if incarnation and now - tonumber(seen) < tonumber(ARGV[3]) then return incarnation end
  for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
    if field:sub(1, #ARGV[1] + 3) == 'n ' .. ARGV[1] .. ' ' then redis.call('HDEL', KEYS[2], field) end
  end
  for n = 5, 10 do redis.call('DEL', KEYS[n]) end
  ${CHANGED}
end
for n = 5, 10 do
  redis.pcall('XGROUP', 'CREATE', KEYS[n], 'readers', '0', 'MKSTREAM')
  redis.call('PEXPIRE', KEYS[n], ARGV[4])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. now)
return ''`);

/**
 * A sign of life. KEYS: nodes, interests, version, groups, then streams to be kept. ARGV: name, incarnation, milliseconds for which things are kept, then
 * the fields of groups that it is a member of. Answers 'gone' when others took it for dead, else all nodes as names and values.
 */
export const BEAT = script(`
${NOW}
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or held:match('^(%S+) ') ~= ARGV[2] then return 'gone' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. now)
for n = 4, #ARGV do redis.call('HSET', KEYS[4], ARGV[n], now) end
for n = 1, #KEYS do redis.call('PEXPIRE', KEYS[n], ARGV[3]) end
local seen = redis.call('HGETALL', KEYS[4])
for n = 1, #seen, 2 do
  if now - tonumber(seen[n + 1]) > tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[4], seen[n])
    redis.call('HDEL', KEYS[2], seen[n])
    ${CHANGED}
  end
end
return redis.call('HGETALL', KEYS[1])`);

/** A node is gone: by its own word, or because it was silent for too long. KEYS: as ENTER. ARGV: name, its value as it was last seen or its incarnation. */
export const LEAVE = script(`
${NOW}
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or (held ~= ARGV[2] and held:match('^(%S+) ') ~= ARGV[2]) then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if field:sub(1, #ARGV[1] + 3) == 'n ' .. ARGV[1] .. ' ' then redis.call('HDEL', KEYS[2], field) end
end
for n = 5, 10 do redis.call('DEL', KEYS[n]) end
${CHANGED}
return 1`);

/** Begins or ends an interest. KEYS: nodes, interests, version, groups, then the streams of a group. ARGV: the field, '1' or '0', milliseconds for which a group is kept. */
export const INTEREST = script(`
${NOW}
if ARGV[2] == '1' then
  for n = 5, #KEYS do
    redis.pcall('XGROUP', 'CREATE', KEYS[n], 'readers', '0', 'MKSTREAM')
    redis.call('PEXPIRE', KEYS[n], ARGV[3])
  end
  if #KEYS > 4 then redis.call('HSET', KEYS[4], ARGV[1], now) end
  if redis.call('HSETNX', KEYS[2], ARGV[1], '') == 1 then ${CHANGED} end
elseif redis.call('HDEL', KEYS[2], ARGV[1]) == 1 then ${CHANGED} end
return 1`);

/** The interests, and their version. KEYS: interests, version. */
export const TABLE = script(`
return { redis.call('GET', KEYS[2]) or '', redis.call('HKEYS', KEYS[1]) }`);

/**
 * Takes over what consumers hold that are gone. KEYS: a stream. ARGV: who takes, how many at the most, then the consumers that live. Answers
 * the entries as XRANGE does, each with how often it was delivered before.
 */
export const TAKE_OVER = script(`
local living = {}
for n = 3, #ARGV do living[ARGV[n]] = true end
local left = tonumber(ARGV[2])
local taken = {}
local summary = redis.call('XPENDING', KEYS[1], 'readers')
if type(summary[4]) ~= 'table' then return taken end
for _, consumer in ipairs(summary[4]) do
  local name = consumer[1]
  if not living[name] and left > 0 then
    local pending = redis.call('XPENDING', KEYS[1], 'readers', '-', '+', left, name)
    for _, entry in ipairs(pending) do
      local claimed = redis.call('XCLAIM', KEYS[1], 'readers', ARGV[1], 0, entry[1])
      if claimed[1] and claimed[1][2] then
        taken[#taken + 1] = { claimed[1][1], claimed[1][2], entry[4] }
        left = left - 1
      end
    end
    if name ~= '-released' and #redis.call('XPENDING', KEYS[1], 'readers', '-', '+', 1, name) == 0 then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[1], 'readers', name)
    end
  end
end
return taken`);

/**
 * Moves a frame to the dead letters. KEYS: a stream, the dead letters. ARGV: the id, who holds it, how many dead letters are kept, then what is kept, as fields and
 * values. Answers 1; 0 where it holds it no more; -1 where there is no room.
 */
export const BURY = script(`
if #redis.call('XPENDING', KEYS[1], 'readers', ARGV[1], ARGV[1], 1, ARGV[2]) == 0 then return 0 end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[3]) then return -1 end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 4))
redis.call('XACK', KEYS[1], 'readers', ARGV[1])
redis.call('XDEL', KEYS[1], ARGV[1])
return 1`);
