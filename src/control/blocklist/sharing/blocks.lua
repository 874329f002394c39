-- Blocks that replicas share. KEYS: values by network, empty for one that was lifted; networks by
-- the number of their last change; when each ends, by this server's clock; what is known of all.
-- ARGV: an id for a new store; the id that the replica knows; the number up to which it knows all;
-- the number up to which it has read; how many to read; how many blocks there may be; then its own
-- changes: network, what ("block", "keep" unless something is known, "lift"), milliseconds left
-- ("" for good), value.
-- Gives {id, number, read from, read up to, 1 if there is more, places of the changes that found no
-- room, networks, values, milliseconds left (-1 for good)}.
local values, order, ends, about = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
-- A replica that was away for longer reads everything anew.
local LIFTED_MS = 86400000
local PURGE_MAX = 200

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end

local base, from = tonumber(ARGV[3]), tonumber(ARGV[4])
local size, most = tonumber(ARGV[5]), 2 * tonumber(ARGV[6])
local known = redis.call('HMGET', about, 'id', 'number', 'floor')
local id, number, floor = known[1], tonumber(known[2]), tonumber(known[3])
local count = redis.call('HLEN', values)
local is_whole = id and number and floor
  and redis.call('ZCARD', order) == count and redis.call('ZCARD', ends) == count
if not is_whole then
  -- New, or a part of it is gone. Those who know more tell it again.
  redis.call('DEL', values, order, ends, about)
  id, number, floor = ARGV[1], 0, 0
  redis.call('HSET', about, 'id', id, 'number', 0, 'floor', 0)
elseif id == ARGV[2] and base > number then
  -- An older state than the one that was read.
  id, number = ARGV[1], base
  redis.call('HSET', about, 'id', id, 'number', text(number))
end

local function remove(network)
  redis.call('HDEL', values, network)
  redis.call('ZREM', order, network)
  redis.call('ZREM', ends, network)
end

-- Who knows less than this does not find all that was lifted.
local function raise_floor(to)
  if to and to > floor then
    floor = to
    redis.call('HSET', about, 'floor', text(floor))
  end
end

local over = redis.call('ZRANGEBYSCORE', ends, '-inf', text(now), 'LIMIT', 0, PURGE_MAX)
for _, network in ipairs(over) do
  if redis.call('HGET', values, network) == '' then
    raise_floor(tonumber(redis.call('ZSCORE', order, network)))
  end
  remove(network)
end

local function put(network, value, ends_at)
  number = redis.call('HINCRBY', about, 'number', 1)
  redis.call('HSET', values, network, value)
  redis.call('ZADD', ends, ends_at, network)
  redis.call('ZADD', order, text(number), network)
end

local full = {}
for at = 7, #ARGV, 4 do
  local network, what, left, value = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  local is_known = redis.call('HEXISTS', values, network) == 1
  local has_room = is_known or redis.call('HLEN', values) < most
  if what == 'lift' and has_room then
    put(network, '', text(now + LIFTED_MS))
  elseif what == 'lift' then
    number = redis.call('HINCRBY', about, 'number', 1)
    raise_floor(number)
  elseif what == 'keep' and is_known then
    -- Somebody has said something of it since.
  elseif has_room then
    put(network, value, left and text(now + left) or '+inf')
  else
    full[#full + 1] = (at - 7) / 4
  end
end

if id ~= ARGV[2] or base < floor then from = 0 end
local networks, found, lefts = {}, {}, {}
local to, is_more = number, 0
local after = '(' .. text(from)
local page = redis.call('ZRANGEBYSCORE', order, after, text(number), 'WITHSCORES', 'LIMIT', 0, size)
for at = 1, #page, 2 do
  local value = redis.call('HGET', values, page[at])
  local ends_at = redis.call('ZSCORE', ends, page[at])
  local left = -1
  if value ~= '' and ends_at and ends_at ~= 'inf' then left = tonumber(ends_at) - now end
  if left == -1 or left > 0 then
    networks[#networks + 1] = page[at]
    found[#found + 1] = value or 'gone'
    lefts[#lefts + 1] = left
  end
end
if #page == 2 * size then to, is_more = tonumber(page[#page]), 1 end
return {id, number, from, to, is_more, full, networks, found, lefts}
