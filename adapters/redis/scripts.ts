/**
 * What must be one step at the server. Each script is sent whole once for each connection, and by its digest afterwards. None
 * compares times: the clock of a server may jump.
 *
 * A node's value is `incarnation session life before about beats` while it lives, and `- incarnation session life` once it was silent for too
 * long. Every new connection of a node is a new session; one that was taken out and comes back has a new life. `before` tells how whoever had the name
 * before has ended: `d`own or `l`eft; `about` is the number of what it says of itself. Its fence is `incarnation session `, with which its value begins as long as that session is
 * the present one: what an earlier connection left on its way has no effect when it arrives late, and is answered by 'gone'.
 *
 * The consumer group of every stream is `readers`. What was released is held by the consumer `-released`, as which nobody reads.
 */

import { createHash } from 'node:crypto';

/** A Lua script and its digest. */
export interface Script {
  readonly text: string;
  readonly digest: string;
}

/** @internal */
export function script(text: string): Script {
  return { text, digest: createHash('sha1').update(text).digest('hex') };
}

/** KEYS[1]: nodes. ARGV[1] and [2]: name and fence of whoever calls. */
export const FENCED = `local held = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if held:sub(1, #ARGV[2]) ~= ARGV[2] then return 'gone' end`;

/** Interests have changed. KEYS[3]: version. A counter would begin anew with an empty table, a time does not. */
const CHANGED = `local time = redis.call('TIME')
redis.call('SET', KEYS[3], time[1] .. '.' .. time[2])`;

/**
 * Appends frames, as far as there is room. KEYS: nodes, version, then the streams. ARGV: name, fence, the version that the places were worked
 * out by or '-' where there is no topic, frames a stream may hold, then for each run of frames that go the same way: a number for their
 * destination and lane, the name of their node, '' for a topic or '-' for a shard, their topic or '', how many places they go to, the numbers of those among the streams, how
 * many frames there are, and the bytes of each. Answers 'gone', 'stale', or one of o(k), f(ull), u(nroutable) for each frame. A frame gets
 * to all of its places or to none, and nothing passes one of its own destination and lane. A stream that has expired is not made
 * again: nobody reads it. A shard is there as long as its streams are.
 */
export const PUBLISH = script(`
${FENCED}
if ARGV[3] ~= '-' and (redis.call('GET', KEYS[2]) or '') ~= ARGV[3] then return 'stale' end
local room, living = {}, { [''] = true, ['-'] = true }
local function roomOf(key)
  if room[key] == nil then
    local waiting = redis.call('XLEN', key)
    if waiting > 0 then
      local given = redis.pcall('XPENDING', key, 'readers')
      if given[1] then waiting = waiting - given[1] end
    end
    room[key] = tonumber(ARGV[4]) - waiting
  end
  return room[key]
end
local function lives(node)
  if living[node] == nil then
    local value = redis.call('HGET', KEYS[1], node)
    living[node] = value and value:sub(1, 2) ~= '- '
  end
  return living[node]
end
local results, blocked, at = {}, {}, 5
while at <= #ARGV do
  local channel, node, topic, count = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local places = {}
  for n = 1, count do places[n] = KEYS[2 + tonumber(ARGV[at + 3 + n])] end
  local first = at + 5 + count
  local last = first - 1 + tonumber(ARGV[first - 1])
  for frame = first, last do
    local result = 'o'
    if not lives(node) then result = 'u' end
    if blocked[channel] then result = 'f' end
    if result == 'o' then
      for n = 1, count do if roomOf(places[n]) < 1 then result = 'f' end end
    end
    if result == 'o' then
      for n = 1, count do
        local key = places[n]
        room[key] = room[key] - 1
        local id
        if topic == '' then id = redis.call('XADD', key, 'NOMKSTREAM', '*', 'b', ARGV[frame])
        else id = redis.call('XADD', key, 'NOMKSTREAM', '*', 'b', ARGV[frame], 't', topic) end
        if not id and node ~= '' then result = 'u' end
      end
    elseif result == 'f' then blocked[channel] = true end
    results[#results + 1] = result
  end
  at = last + 1
end
return table.concat(results)`);

/**
 * Begins a session of a node. Its inbox is empty unless the same incarnation had it before; it listens to the patterns given and no others. Whoever
 * was taken out, or finds itself forgotten, begins a new life, and never with a number that it had. KEYS: nodes, interests, version, groups, about, shards,
 * the six inboxes. ARGV: name, incarnation, the value of a holder that is known to be dead or '', milliseconds for which things are kept, its last session
 * and life as it knows them, number and text of what it says of itself, then patterns. Answers session, life, and 1 where the table had forgotten it; or the
 * value of another holder.
 */
export const ENTER = script(`
local held = redis.call('HGET', KEYS[1], ARGV[1])
local isGone = held and held:sub(1, 2) == '- '
local incarnation, session, life = (isGone and held:sub(3) or held or ''):match('^(%S+) (%d+) (%d+)')
local knownSession, knownLife = tonumber(ARGV[5]), tonumber(ARGV[6])
local before = held and 'd' or 'l'
if incarnation ~= ARGV[2] then
  if held and not isGone and held ~= ARGV[3] then return held end
  session, life = 0, 0
  for n = 7, 12 do redis.call('DEL', KEYS[n]) end
end
session, life = tonumber(session), tonumber(life)
if life == 0 or isGone or (knownLife > 0 and knownLife ~= life) then
  if knownLife > 0 then before = 'd' end
  life = math.max(life, knownLife) + 1
else before = held:match('^%S+ %d+ %d+ (%a)') end
local isForgotten = (session == 0 and knownSession > 0) and 1 or 0
session = math.max(session, knownSession) + 1
redis.call('HSET', KEYS[1], ARGV[1], table.concat({ ARGV[2], session, life, before, ARGV[7], 0 }, ' '))
if ARGV[7] == '0' then redis.call('HDEL', KEYS[5], ARGV[1])
else redis.call('HSET', KEYS[5], ARGV[1], ARGV[2] .. ' ' .. ARGV[8]) end
for n = 7, 12 do redis.pcall('XGROUP', 'CREATE', KEYS[n], 'readers', '0', 'MKSTREAM') end
local own, wanted, isChanged = 'n ' .. ARGV[1] .. ' ', {}, false
for n = 9, #ARGV do wanted[own .. ARGV[n]] = true end
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if field:sub(1, #own) == own and not wanted[field] then
    redis.call('HDEL', KEYS[2], field)
    isChanged = true
  end
end
for field in pairs(wanted) do
  if redis.call('HSETNX', KEYS[2], field, '') == 1 then isChanged = true end
end
if isChanged then
  ${CHANGED}
end
for n = 1, #KEYS do redis.call('PEXPIRE', KEYS[n], ARGV[4]) end
return { session, life, isForgotten }`);

/**
 * A sign of life. KEYS: nodes, interests, version, groups, about, shards, then streams to be kept. ARGV: name, fence, milliseconds for which things are
 * kept, then the fields of groups that it is a member of. Answers 'gone', or all nodes and all groups, each as names and values.
 */
export const BEAT = script(`
${FENCED}
local said, beats = held:match('^(.* )(%d+)$')
redis.call('HSET', KEYS[1], ARGV[1], said .. (beats + 1))
for n = 4, #ARGV do redis.call('HINCRBY', KEYS[4], ARGV[n], 1) end
for n = 1, #KEYS do redis.call('PEXPIRE', KEYS[n], ARGV[3]) end
return { redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[4]) }`);

/** Ends what a node listens to. KEYS[2]: interests. ARGV[1]: name. */
const UNHEARD = `local own = 'n ' .. ARGV[1] .. ' '
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if field:sub(1, #own) == own then redis.call('HDEL', KEYS[2], field) end
end
${CHANGED}`;

/** Answers 1 when any node lives. KEYS[1]: nodes. */
export const OTHERS_LIVE = `for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
  if value:sub(1, 2) ~= '- ' then return 1 end
end`;

/** What a node says of itself. KEYS: nodes, about. ARGV: name, fence, its number, its text. Answers 1 or 'gone'. */
export const DESCRIBE = script(`
${FENCED}
local first, last = held:match('^(%S+ %d+ %d+ %a) %d+ (%d+)$')
redis.call('HSET', KEYS[1], ARGV[1], first .. ' ' .. ARGV[3] .. ' ' .. last)
redis.call('HSET', KEYS[2], ARGV[1], held:match('^%S+') .. ' ' .. ARGV[4])
return 1`);

/** What nodes say of themselves, each with the incarnation in front. KEYS: about. ARGV: names. */
export const ABOUTS = script(`
local texts = {}
for n = 1, #ARGV do texts[n] = redis.call('HGET', KEYS[1], ARGV[n]) or '' end
return texts`);

/**
 * A node closes: nothing of it stays, and what it owned is free. KEYS: nodes, interests, version, groups, about, shards, its six inboxes. ARGV: name, fence.
 * Answers 'gone', 1 where others live, or 0.
 */
export const LEAVE = script(`
${FENCED}
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
${UNHEARD}
for n = 7, 12 do redis.call('DEL', KEYS[n]) end
${OTHERS_LIVE}
if not redis.call('HKEYS', KEYS[2])[1] then redis.call('DEL', KEYS[3]) end
return 0`);

/** The last one has gone, and lets the rest expire. KEYS: nodes, then what is to expire. ARGV: milliseconds. Answers 1 where somebody has come. */
export const EXPIRE = script(`
${OTHERS_LIVE}
for n = 1, #KEYS do redis.call('PEXPIRE', KEYS[n], ARGV[1]) end
return 0`);

/**
 * A node was silent for too long: it gets nothing more, what it owned is free, and so is its name. What it was sent stays for a while, in case it comes back.
 * KEYS: nodes, interests, version, about, its six inboxes. ARGV: name, its value when it was last seen, milliseconds for which its inbox is
 * kept. Answers its value after that, or ''.
 */
export const TAKE_OUT = script(`
local held = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if held ~= ARGV[2] then return held end
held = '- ' .. held:match('^%S+ %d+ %d+')
redis.call('HSET', KEYS[1], ARGV[1], held)
redis.call('HDEL', KEYS[4], ARGV[1])
${UNHEARD}
for n = 5, 10 do redis.call('PEXPIRE', KEYS[n], ARGV[3]) end
return held`);

/**
 * Forgets a node that did not come back, or a group without members, for good. KEYS: the table that it is in, interests, version, its six streams. ARGV: its
 * field in that table, its value when it was last seen.
 */
export const FORGET = script(`
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
for n = 4, 9 do redis.call('DEL', KEYS[n]) end
if redis.call('HDEL', KEYS[2], ARGV[1]) == 1 then
  ${CHANGED}
end
return 1`);

/**
 * Begins or ends an interest. KEYS: nodes, interests, version, groups, about, shards, then the streams of a group. ARGV: name, fence, the interest's field,
 * '1' or '0', milliseconds for which things are kept. Answers 1 or 'gone'.
 */
export const INTEREST = script(`
${FENCED}
local isChanged
if ARGV[4] == '1' then
  for n = 7, #KEYS do redis.pcall('XGROUP', 'CREATE', KEYS[n], 'readers', '0', 'MKSTREAM') end
  if #KEYS > 6 then redis.call('HINCRBY', KEYS[4], ARGV[3], 1) end
  isChanged = redis.call('HSETNX', KEYS[2], ARGV[3], '') == 1
else isChanged = redis.call('HDEL', KEYS[2], ARGV[3]) == 1 end
if isChanged then
  ${CHANGED}
end
for n = 1, #KEYS do redis.call('PEXPIRE', KEYS[n], ARGV[5]) end
return 1`);

/** The interests, and their version. KEYS: interests, version. */
export const TABLE = script(`
return { redis.call('GET', KEYS[2]) or '', redis.call('HKEYS', KEYS[1]) }`);

/** Whether a consumer lives. What is `alone` has one reader, so that everybody else is dead there. KEYS[1]: nodes. ARGV[3]: who asks. */
const LIVES = `local function lives(consumer, alone)
  if alone then return consumer == ARGV[3] end
  local node, incarnation, session = consumer:match('^([^.]+)%.([^.]+)%.(%d+)$')
  if not node then return consumer ~= '-released' end
  local fence = incarnation .. ' ' .. session .. ' '
  return (redis.call('HGET', KEYS[1], node) or ''):sub(1, #fence) == fence
end`;

/**
 * Takes over what consumers hold that are no more, and what was released. A consumer is `node.incarnation.session`; it lives as long as
 * that is the present session of its node, and in a shard only if it is the owner's. KEYS: nodes, a stream, and shards where it is one of a shard. ARGV: name, fence,
 * who takes, how many at the most, and for a shard its field and value. Answers 'gone', or the entries as XRANGE does, each with how often it was
 * delivered before.
 */
export const TAKE_OVER = script(`
${FENCED}
if KEYS[3] and redis.call('HGET', KEYS[3], ARGV[5]) ~= ARGV[6] then return 'gone' end
${LIVES}
local left, taken = tonumber(ARGV[4]), {}
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[2], 'readers')) do
  local name, holds = consumer[2], consumer[4]
  if not lives(name, KEYS[3]) then
    if holds > 0 and left > 0 then
      for _, entry in ipairs(redis.call('XPENDING', KEYS[2], 'readers', '-', '+', left, name)) do
        local claimed = redis.call('XCLAIM', KEYS[2], 'readers', ARGV[3], 0, entry[1])[1]
        holds = holds - 1
        if claimed and claimed[2] then
          taken[#taken + 1] = { claimed[1], claimed[2], entry[4] }
          left = left - 1
        else redis.call('XACK', KEYS[2], 'readers', entry[1]) end
      end
    end
    if holds == 0 and name ~= '-released' then redis.call('XGROUP', 'DELCONSUMER', KEYS[2], 'readers', name) end
  end
end
return taken`);

/**
 * Where there is something to take over. KEYS: nodes, then streams. ARGV: name, fence, who would take, and how many of the streams, the last ones, are
 * of shards that it owns. Answers 'gone', or the places of streams that dead consumers have, from 1.
 */
export const LOOK_OVER = script(`
${FENCED}
${LIVES}
local found = {}
for n = 2, #KEYS do
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[n], 'readers')) do
    local name, holds = consumer[2], consumer[4]
    if (holds > 0 or name ~= '-released') and not lives(name, n > #KEYS - tonumber(ARGV[4])) then
      found[#found + 1] = n - 1
      break
    end
  end
end
return found`);

/** Forgets frames. One step: what is acknowledged and not deleted would take room for ever. KEYS: a stream. ARGV: ids. */
export const SETTLE = script(`
redis.call('XACK', KEYS[1], 'readers', unpack(ARGV))
return redis.call('XDEL', KEYS[1], unpack(ARGV))`);

/**
 * The same for a shard, as long as it is owned: whoever has lost it settles nothing. KEYS: a stream, shards. ARGV: the shard's field and value, then ids.
 * Answers 'gone' where it is another's.
 */
export const SETTLE_OWNED = script(`
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 'gone' end
redis.call('XACK', KEYS[1], 'readers', unpack(ARGV, 3))
return redis.call('XDEL', KEYS[1], unpack(ARGV, 3))`);

/** Gives frames back, as far as this consumer still holds them. KEYS: a stream. ARGV: the consumer, then ids. */
export const RELEASE = script(`
for n = 2, #ARGV do
  if #redis.call('XPENDING', KEYS[1], 'readers', ARGV[n], ARGV[n], 1, ARGV[1]) == 1 then
    redis.call('XCLAIM', KEYS[1], 'readers', '-released', 0, ARGV[n], 'JUSTID')
  end
end
return 1`);

/**
 * Moves a frame to the dead letters. KEYS: a stream, the dead letters, and shards where it is one of a shard. ARGV: the id, who holds it, how many dead letters
 * are kept, the shard's field and value, or '' and '', then what is kept, as fields and values. Answers 1; 0 where it holds it no more; -1 where there is
 * no room.
 */
export const BURY = script(`
if KEYS[3] and redis.call('HGET', KEYS[3], ARGV[4]) ~= ARGV[5] then return 0 end
if #redis.call('XPENDING', KEYS[1], 'readers', ARGV[1], ARGV[1], 1, ARGV[2]) == 0 then return 0 end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[3]) then return -1 end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 6))
redis.call('XACK', KEYS[1], 'readers', ARGV[1])
redis.call('XDEL', KEYS[1], ARGV[1])
return 1`);
