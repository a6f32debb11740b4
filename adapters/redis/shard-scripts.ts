/**
 * Who owns which shard, in one step at the server. The table of shards has for each shard `group shard` the value `epoch node incarnation life` while
 * it was granted, `epoch -` while it is free; and for each group, under its name, how many shards it has.
 *
 * A grant has no time of its own: it holds as long as its node is in that life, and so a sign of life renews all of them. No grant is taken from a node that lives.
 * An epoch is one more than the one before, and not below the server's time in milliseconds: so it goes on where a shard was forgotten, or a server has lost
 * its last grants. A clock that jumps back stops nothing.
 */

import { FENCED, OTHERS_LIVE, script } from './scripts.ts';

/** Whether a grant to `holder` holds. KEYS[1]: nodes. */
const HOLDS = `local function holds(holder)
  local node, owner = holder:match('^(%S+) (%S+ %d+)$')
  if not node then return false end
  local incarnation, life = (redis.call('HGET', KEYS[1], node) or ''):match('^(%S+) %d+ (%d+) ')
  return incarnation and incarnation .. ' ' .. life == owner
end`;

/**
 * Asks for shards. They exist from then on. KEYS: nodes, shards, then six streams for each. ARGV: name, fence, milliseconds for which things are kept, 1 or 0 for
 * whether any may be granted now, then for each: group, shard, shards of the group, and the epoch that the node believes it has, or 0. Answers 'gone', or
 * for each shard the epoch, as a text; '-' where it is not the owner; 'of <n>' where the group has another number of shards.
 */
export const ACQUIRE = script(`
${FENCED}
${HOLDS}
local incarnation, life = held:match('^(%S+) %d+ (%d+)')
local me = ARGV[1] .. ' ' .. incarnation .. ' ' .. life
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
for at = 5, #ARGV, 4 do
  local group, shard, shards, known = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local field, first = group .. ' ' .. shard, 3 + (at - 5) / 4 * 6
  local epoch, holder = (redis.call('HGET', KEYS[2], field) or '0 -'):match('^(%d+) (.+)$')
  redis.call('HSETNX', KEYS[2], group, shards)
  local count = redis.call('HGET', KEYS[2], group)
  local answer = '-'
  if count ~= shards then answer = 'of ' .. count
  elseif holder == me and epoch == known then answer = epoch
  elseif ARGV[4] == '1' and (holder == me or not holds(holder)) then
    answer = string.format('%.0f', math.max(epoch + 1, now))
    redis.call('HSET', KEYS[2], field, answer .. ' ' .. me)
  else redis.call('HSETNX', KEYS[2], field, '0 -') end
  if count == shards then
    for n = first, first + 5 do
      if redis.call('PEXPIRE', KEYS[n], ARGV[3]) == 0 then
        redis.pcall('XGROUP', 'CREATE', KEYS[n], 'readers', '0', 'MKSTREAM')
        redis.call('PEXPIRE', KEYS[n], ARGV[3])
      end
    end
  end
  answers[#answers + 1] = answer
end
return answers`);

/** Gives shards back, as far as this node has them. KEYS: nodes, shards. ARGV: name, fence, then fields. Answers 1 or 'gone'. */
export const GIVE_BACK = script(`
${FENCED}
local incarnation, life = held:match('^(%S+) %d+ (%d+)')
local me = ARGV[1] .. ' ' .. incarnation .. ' ' .. life
for n = 3, #ARGV do
  local epoch, holder = (redis.call('HGET', KEYS[2], ARGV[n]) or ''):match('^(%d+) (.+)$')
  if holder == me then redis.call('HSET', KEYS[2], ARGV[n], epoch .. ' -') end
end
return 1`);

/** The shards that nobody owns, as fields and values. KEYS: nodes, shards. */
export const UNOWNED = script(`
${HOLDS}
local found, all = {}, redis.call('HGETALL', KEYS[2])
for n = 1, #all, 2 do
  local holder = all[n + 1]:match('^%d+ (.+)$')
  if holder and not holds(holder) then
    found[#found + 1] = all[n]
    found[#found + 1] = all[n + 1]
  end
end
return found`);

/** Keeps streams. KEYS: streams. ARGV: milliseconds. */
export const KEEP = script(`
for n = 1, #KEYS do redis.call('PEXPIRE', KEYS[n], ARGV[1]) end
return 1`);

/**
 * Forgets a shard that nobody has owned for long, for good, and with the last one its group. KEYS: nodes, shards, its six streams. ARGV: its field, its value when it was last
 * seen, its group.
 */
export const FORGET_SHARD = script(`
${HOLDS}
local value = redis.call('HGET', KEYS[2], ARGV[1])
if value ~= ARGV[2] or holds(value:match('^%d+ (.+)$')) then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
for n = 3, 8 do redis.call('DEL', KEYS[n]) end
local own = ARGV[3] .. ' '
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if field:sub(1, #own) == own then return 1 end
end
redis.call('HDEL', KEYS[2], ARGV[3])
return 1`);

/**
 * The last node has gone: shards have so much time left, and those that had theirs are forgotten, with groups that have none any more. Nobody prolongs what it does not
 * claim. KEYS: nodes, shards, then six streams for each. ARGV: milliseconds, then fields. Answers 1 where somebody has come.
 */
export const EXPIRE_SHARDS = script(`
${OTHERS_LIVE}
local left = tonumber(ARGV[1])
for at = 2, #ARGV do
  local first = 3 + (at - 2) * 6
  for n = first, first + 5 do
    local ttl = redis.call('PTTL', KEYS[n])
    if ttl == -2 then redis.call('HDEL', KEYS[2], ARGV[at])
    elseif ttl < 0 or ttl > left then redis.call('PEXPIRE', KEYS[n], left) end
  end
end
local groups, fields = {}, redis.call('HKEYS', KEYS[2])
for _, field in ipairs(fields) do
  local group = field:match('^(%S+) ')
  if group then groups[group] = true end
end
for _, field in ipairs(fields) do
  if not field:find(' ', 1, true) and not groups[field] then redis.call('HDEL', KEYS[2], field) end
end
return 0`);
