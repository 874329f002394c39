-- GCRA over whole numbers that doubles hold exactly: times are seconds and parts of a second. A
-- bucket's value is the moment when it is full again, "seconds:parts", by the clock of this server.
local SECOND = 64000000000
local MILLISECOND = 64000000

local now_s, now_p = tonumber(ARGV[1]), tonumber(ARGV[2])
if not now_s then
  local time = redis.call('TIME')
  now_s, now_p = tonumber(time[1]), tonumber(time[2]) * 64000
end

local function add(as, ap, bs, bp)
  local s, p = as + bs, ap + bp
  if p >= SECOND then return s + 1, p - SECOND end
  return s, p
end

-- Zero where there would be less.
local function sub(as, ap, bs, bp)
  local s, p = as - bs, ap - bp
  if p < 0 then s, p = s - 1, p + SECOND end
  if s < 0 then return 0, 0 end
  return s, p
end

local function is_more(as, ap, bs, bp)
  return as > bs or (as == bs and ap > bp)
end

-- What is missing from the bucket. What is no bucket's value is a full bucket's.
local function missing(key)
  local value = redis.call('GET', key)
  local s, p = string.match(value or '', '^(%d+):(%d+)$')
  if not s then return 0, 0 end
  return sub(tonumber(s), tonumber(p), now_s, now_p)
end

local function put(key, s, p)
  if s == 0 and p == 0 then
    redis.call('DEL', key)
    return
  end
  local at_s, at_p = add(now_s, now_p, s, p)
  local value = string.format('%.0f:%.0f', at_s, at_p)
  redis.call('SET', key, value, 'PX', string.format('%.0f', s * 1000 + math.ceil(p / MILLISECOND)))
end

local function pair(at)
  return tonumber(ARGV[at]), tonumber(ARGV[at + 1])
end
