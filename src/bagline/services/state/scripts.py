"""The Lua that makes a write and its fence one step.

Those that write answer 1, or 0 when the lease is not the caller's: then nothing was written.
Types are looked at first, because an error half way would leave the first half.
"""

from __future__ import annotations

_FENCE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
"""

RENEW = _FENCE + "return redis.call('PEXPIRE', KEYS[1], ARGV[2])"

DROP = _FENCE + "redis.call('DEL', unpack(KEYS)) return 1"

SAVE_RESULT = (
    _FENCE
    + """
if ARGV[3] == '' then redis.call('HDEL', KEYS[2], ARGV[2]); return 1 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if tonumber(ARGV[4]) > 0 then redis.call('EXPIRE', KEYS[2], ARGV[4]) end
return 1
"""
)

COMMIT = (
    _FENCE
    + """
local item = KEYS[2]
local found = redis.call('TYPE', item).ok
if found ~= 'none' and found ~= 'hash' then
  return redis.error_reply('WRONGTYPE ' .. item .. ' is a ' .. found)
end
local at = 2
local function take() at = at + 1; return ARGV[at - 1] end
local counts = {'bagline:members', 0, 'bagline:files', 0}
for _ = 1, 2 * tonumber(take()) do counts[#counts + 1] = take() end
for i = 1, #counts, 2 do
  local stands = redis.call('HGET', item, counts[i])
  if stands and not stands:match('^-?%d+$') then
    return redis.error_reply('WRONGTYPE ' .. item .. ' ' .. counts[i] .. ' is no number')
  end
end
local identifier, entries, count = take(), take(), tonumber(take())
local members = at
at = at + count
local fields = tonumber(take())  -- begin with field and record of each of the files
local listed = redis.call('HEXISTS', item, 'bagline:members') == 1
if count > 0 and (listed or entries:find('1', 1, true)) then
  local batch, seen = {}, {}
  for i = 0, count - 1 do
    local field = ARGV[at + 2 * i]
    if (listed or entries:byte(i + 1) == 49) and not seen[field]
        and redis.call('HEXISTS', item, field) == 0 then
      seen[field] = true
      batch[#batch + 1] = ARGV[members + i]
    end
  end
  if #batch > 0 then
    local number = redis.call('HINCRBY', item, 'bagline:members', 1) - 1
    redis.call('HSET', item, 'bagline:members:' .. number, table.concat(batch))
    redis.call('HINCRBY', item, 'bagline:files', #batch)
  end
end
for first = at, at + fields - 1, 1000 do
  redis.call('HSET', item, unpack(ARGV, first, math.min(first + 999, at + fields - 1)))
end
at = at + fields
if identifier ~= '' then redis.call('HSET', item, 'bagline:object', identifier) end
local change = take()
if change == 'set' then redis.call('HSET', item, 'bagline:checkpoint', take())
elseif change == 'remove' then redis.call('HDEL', item, 'bagline:checkpoint') end
for i = 5, #counts, 2 do redis.call('HINCRBY', item, counts[i], counts[i + 1]) end
local proven = tonumber(take())
if proven > 0 then
  local round = redis.call('HGET', item, 'bagline:proofs') or '0'
  for _ = 1, proven do redis.call('HSET', item, take(), round .. ' ' .. take()) end
end
return 1
"""
)

ADD_CHECKSUMS = (
    _FENCE
    + """
local item, left, changed = KEYS[2], {}, {}
for at = 2, #ARGV, 2 do  -- field, the checksums' JSON
  local raw = redis.call('HGET', item, ARGV[at])
  -- No string can hold this: in JSON its quotes would have backslashes before them.
  local last = raw and raw:find('}],"copied_to_staging_at":', 1, true)
  local head = last and raw:sub(1, last)
  if head and head:sub(1, 15) == '{"checksums":[{'
      and not head:find('manifest"', 1, true) and not head:find('registry"', 1, true) then
    changed[#changed + 1] = ARGV[at]
    changed[#changed + 1] = head .. ',' .. ARGV[at + 1] .. raw:sub(last + 1)
  else
    left[#left + 1] = at / 2 - 1
  end
end
for first = 1, #changed, 1000 do
  redis.call('HSET', item, unpack(changed, first, math.min(first + 999, #changed)))
end
return left
"""
)

READ_FILES = """
local item, first, most = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local identifier, listed = unpack(redis.call('HMGET', item, 'bagline:object', 'bagline:members'))
local found, files = {identifier, listed}, 0
if not identifier or not listed then return found end
local prefix = 'file:' .. identifier .. '/'
for number = first, tonumber(listed) - 1 do
  local batch = redis.call('HGET', item, 'bagline:members:' .. number)
  found[#found + 1] = batch
  if not batch then break end
  local fields, records, at = {}, {}, 1
  while at + 7 <= #batch do
    local path, span = struct.unpack('>I4I4', batch, at)
    fields[#fields + 1] = prefix .. batch:sub(at + 8, at + 7 + path)
    at = at + 8 + path + span
  end
  for some = 1, #fields, 1000 do
    local values = redis.call('HMGET', item, unpack(fields, some, math.min(some + 999, #fields)))
    for i = 1, #values do records[#records + 1] = values[i] end
  end
  found[#found + 1] = records
  files = files + #fields
  if files >= most then break end
end
return found
"""
"""The first batch, and after how many files to stop. The bag's name, how many batches are listed;
then batches and their files' records."""

FORGET_PROOFS = _FENCE + "redis.call('HINCRBY', KEYS[2], 'bagline:proofs', 1) return 1"

SAVE_DIGESTS = (
    _FENCE
    + """
for first = 2, #ARGV, 1000 do
  redis.call('HSET', KEYS[2], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
return 1
"""
)

RESTART = (
    _FENCE
    + """
local kept = {}
if #ARGV > 1 then
  local fields = {unpack(ARGV, 2)}
  for i, value in ipairs(redis.call('HMGET', KEYS[2], unpack(fields))) do
    if value then kept[#kept + 1] = fields[i]; kept[#kept + 1] = value end
  end
end
redis.call('UNLINK', KEYS[2])
if #kept > 0 then redis.call('HSET', KEYS[2], unpack(kept)) end
return 1
"""
)

SWEEP = """
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return 0 end
return redis.call('UNLINK', unpack(KEYS, 3))
"""
"""KEYS: lease, hash, and those of an earlier release, which go where both of these are gone."""

DELETE = _FENCE + "redis.call('UNLINK', unpack(KEYS, 2)) return 1"

_ADOPT = """
local function adopt()  -- keys beside the hash, of an earlier release: into it
  local item, object, members, spans = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
  local checkpoint, tally, proofs = KEYS[6], KEYS[7], KEYS[8]
  if redis.call('EXISTS', item) == 1 then
    for field, key in pairs({['bagline:object'] = object, ['bagline:checkpoint'] = checkpoint}) do
      local value = redis.call('GET', key)
      if value then redis.call('HSET', item, field, value) end
    end
    local batches = redis.call('LLEN', members)
    for number = 0, batches - 1 do
      local batch, at = redis.call('LINDEX', members, number), 1
      redis.call('HSET', item, 'bagline:members:' .. number, batch)
      while at < #batch do
        local path, span = struct.unpack('>I4I4', batch, at)
        local middle, after = at + 8 + path, at + 8 + path + span
        path, span = batch:sub(at + 8, middle - 1), batch:sub(middle, after - 1)
        at = after
        -- A long one has digests of parts, and is sought by its path, too.
        if #span > 64 or (#span > 0 and path:sub(1, 5) ~= 'data/') then
          redis.call('HSET', item, 'bagline:span:' .. path, span)
        end
      end
    end
    if batches > 0 then
      redis.call('HSET', item, 'bagline:members', batches)
      redis.call('HSET', item, 'bagline:files', redis.call('HLEN', spans))
    end
    for key, prefix in pairs({[tally] = 'bagline:tally:', [proofs] = 'bagline:proof:'}) do
      local found = redis.call('HGETALL', key)
      for i = 1, #found, 2 do
        local value = found[i + 1]
        if key == proofs then value = '0 ' .. value end
        redis.call('HSET', item, prefix .. found[i], value)
      end
    end
  end
  redis.call('UNLINK', unpack(KEYS, 3))
end
"""

TAKE = (
    _ADOPT
    + """
local item = KEYS[2]
local fields = redis.call('HLEN', item)  -- fails where it is no hash, before anything is written
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
if #KEYS > 2 and redis.call('EXISTS', unpack(KEYS, 3)) > 0 then
  adopt()
  fields = redis.call('HLEN', item)
end
if fields == 0 then return {0, false, false, false, false, false} end
local found = redis.call(
  'HMGET', item, ARGV[3], ARGV[4], 'bagline:checkpoint', 'bagline:object')
local bag = found[4] and redis.call('HGET', item, 'object:' .. found[4])
return {fields, found[1], found[2], found[3], found[4], bag}
"""
)
"""token, milliseconds, the result's field, the counter's. KEYS: lease, hash, and those of an
earlier release. nil; or how many fields, result, count, checkpoint, the bag's name, the bag."""
