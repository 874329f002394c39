-- GCRA over whole numbers that doubles hold exactly: times are seconds and parts of a second, by the
-- clock of this server. A bucket's value is the moment since which it would have filled if it had
-- been empty then, when it was touched last, and in what time it gained one then.
local SECOND = 64000000000
local MILLISECOND = 64000000
-- No more is owed where the rate changes.
local OWED_MAX_S = 62 * 86400

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

local function pair(at)
  return tonumber(ARGV[at]), tonumber(ARGV[at + 1])
end

local function scaled(s, p, ratio)
  local whole = math.floor((s * SECOND + p) * ratio + 0.5)
  local parts = math.fmod(whole, SECOND)
  return (whole - parts) / SECOND, parts
end

-- The bucket as it is counted at another rate, `ratio` times as slow: what it holds, or owes, stays.
-- The time since it was touched counts at the faster of the two.
local function changed(s, p, touched_s, touched_p, ratio)
  if ratio > 1 then touched_s, touched_p = now_s, now_p end
  if is_more(s, p, touched_s, touched_p) then
    s, p = sub(s, p, touched_s, touched_p)
    s, p = scaled(s, p, ratio)
    if s >= OWED_MAX_S then s, p = OWED_MAX_S, 0 end
    return add(touched_s, touched_p, s, p)
  end
  s, p = sub(touched_s, touched_p, s, p)
  s, p = scaled(s, p, ratio)
  return sub(touched_s, touched_p, s, p)
end

-- Keeps the bucket from which so much is missing. It gains one in the time at `each` of the arguments,
-- and fills in the one after it.
local function put(key, s, p, each)
  if s == 0 and p == 0 then
    redis.call('DEL', key)
    return
  end
  local since_s, since_p = add(now_s, now_p, s, p)
  since_s, since_p = sub(since_s, since_p, pair(each + 2))
  local value = string.format('%.0f:%.0f %.0f:%.0f ', since_s, since_p, now_s, now_p)
  value = value .. ARGV[each] .. ':' .. ARGV[each + 1]
  redis.call('SET', key, value, 'PX', string.format('%.0f', s * 1000 + math.ceil(p / MILLISECOND)))
end

-- What is missing from the bucket. What is no bucket's value is a full bucket's.
local function missing(key, each)
  local value = redis.call('GET', key) or ''
  local s, p, touched_s, touched_p, each_s, each_p =
    string.match(value, '^(%d+):(%d+) (%d+):(%d+) (%d+):(%d+)$')
  if not s then return 0, 0 end
  s, p = tonumber(s), tonumber(p)
  local is_other = each_s ~= ARGV[each] or each_p ~= ARGV[each + 1]
  if is_other then
    local new_s, new_p = pair(each)
    local ratio = (new_s * SECOND + new_p) / (tonumber(each_s) * SECOND + tonumber(each_p))
    s, p = changed(s, p, tonumber(touched_s), tonumber(touched_p), ratio)
  end
  s, p = add(s, p, pair(each + 2))
  s, p = sub(s, p, now_s, now_p)
  if is_other then put(key, s, p, each) end
  return s, p
end
