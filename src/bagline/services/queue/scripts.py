"""The Lua of the Redis queue. The clock is the Redis server's, in milliseconds.

KEYS: 1 the waiting (sorted set: id → due at), 2 holders (hash: id → receipt),
3 attempts (hash: id → count), 4 the bell (list, bounded, expires).
"""

from __future__ import annotations

BELLS = 64
BELL_MILLISECONDS = 5_000

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_RING = f"""
local function ring()
  redis.call('RPUSH', KEYS[4], '1')
  redis.call('LTRIM', KEYS[4], -{BELLS}, -1)
  redis.call('PEXPIRE', KEYS[4], {BELL_MILLISECONDS})
end
"""

PUBLISH = (
    _NOW
    + _RING
    + """
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
local due, waits = now + ARGV[2], redis.call('ZSCORE', KEYS[1], ARGV[1])
if waits and tonumber(waits) <= due then return 0 end
redis.call('ZADD', KEYS[1], due, ARGV[1])
ring()
return 1
"""
)
"""id, delay. One that waits already is only brought forward; one in flight stays as it is."""

RECEIVE = (
    _NOW
    + """
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if #first == 0 then return {-1} end
local wait = tonumber(first[2]) - now
if wait > 0 then return {wait} end
redis.call('ZADD', KEYS[1], now + ARGV[2], first[1])
redis.call('HSET', KEYS[2], first[1], ARGV[1])
return {0, first[1], redis.call('HINCRBY', KEYS[3], first[1], 1)}
"""
)
"""receipt, visibility. {0, id, attempts}; {milliseconds until one is due}; {-1}."""

EXTEND = (
    _NOW
    + """
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('ZADD', KEYS[1], 'XX', 'CH', now + ARGV[3], ARGV[1])
"""
)
"""id, receipt, visibility."""

ACK = """
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
"""
"""id, receipt."""

REQUEUE = (
    _NOW
    + _RING
    + """
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
ring()
return 1
"""
)
"""id, receipt, delay."""

DISCARD = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
"""
"""id."""

DEPTH = (
    _NOW
    + """
local held = 0
for _, id in ipairs(redis.call('HKEYS', KEYS[2])) do
  if tonumber(redis.call('ZSCORE', KEYS[1], id) or 0) > now then held = held + 1 end
end
local due = redis.call('ZCOUNT', KEYS[1], '-inf', now)
return {due, redis.call('ZCARD', KEYS[1]) - due - held, held}
"""
)
"""{due, delayed, in flight}; one whose visibility ran out counts as due."""
