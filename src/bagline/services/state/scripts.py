"""The Lua that makes a write and its fence one step.

Each answers 1, or 0 when the lease is not the caller's: then nothing was written. Types
are looked at first, because an error half way would leave the first half.
"""

from __future__ import annotations

_FENCE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
"""

RENEW = _FENCE + "return redis.call('PEXPIRE', KEYS[1], ARGV[2])"

DROP = _FENCE + "return redis.call('DEL', KEYS[1])"

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
local item, object, members, spans = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local checkpoint, tally, proofs = KEYS[6], KEYS[7], KEYS[8]
for key, kind in pairs({[item] = 'hash', [object] = 'string', [members] = 'list',
                        [spans] = 'hash', [checkpoint] = 'string', [tally] = 'hash',
                        [proofs] = 'hash'}) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found)
  end
end
local at = 2
local function take() at = at + 1; return ARGV[at - 1] end
local identifier, entries, count = take(), take(), tonumber(take())
local listed = redis.call('EXISTS', spans) == 1
if count > 0 and (listed or entries:find('1', 1, true)) then
  -- digests, then spans, then packed members of the files; entries has a 1 for each entry
  local batch, news, seen = {}, {}, {}
  for first = 0, count - 1, 1000 do
    local last = math.min(first + 1000, count) - 1
    local known = redis.call('HMGET', spans, unpack(ARGV, at + first, at + last))
    for i = first, last do
      local digest = ARGV[at + i]
      if not known[i - first + 1] and not seen[digest]
          and (listed or entries:byte(i + 1) == 49) then
        seen[digest] = true
        batch[#batch + 1] = ARGV[at + 2 * count + i]
        news[#news + 1] = digest
        news[#news + 1] = ARGV[at + count + i]
      end
    end
  end
  for first = 1, #news, 1000 do
    redis.call('HSET', spans, unpack(news, first, math.min(first + 999, #news)))
  end
  if #batch > 0 then redis.call('RPUSH', members, table.concat(batch)) end
end
at = at + 3 * count
local fields = tonumber(take())
for first = at, at + fields - 1, 1000 do
  redis.call('HSET', item, unpack(ARGV, first, math.min(first + 999, at + fields - 1)))
end
at = at + fields
if identifier ~= '' then redis.call('SET', object, identifier) end
local change = take()
if change == 'set' then redis.call('SET', checkpoint, take())
elseif change == 'remove' then redis.call('DEL', checkpoint) end
for _ = 1, tonumber(take()) do redis.call('HINCRBY', tally, take(), take()) end
local proven = tonumber(take())
for first = at, at + proven - 1, 1000 do
  redis.call('HSET', proofs, unpack(ARGV, first, math.min(first + 999, at + proven - 1)))
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
redis.call('UNLINK', unpack(KEYS, 2))
if #kept > 0 then redis.call('HSET', KEYS[2], unpack(kept)) end
return 1
"""
)

DELETE = (
    _FENCE
    + """
redis.call('UNLINK', unpack(KEYS, 2))
return 1
"""
)
