-- Takes from all buckets (KEYS), or from none. For each: the time in which it gains one, that in
-- which it fills, that in which it gains what is taken, how long the request waits for it. Gives
-- {0, what was missing from each} or {place, what is missing}.
local after, told = {}, {0}
for i, key in ipairs(KEYS) do
  local at = 3 + (i - 1) * 8
  local fill_s, fill_p = pair(at + 2)
  local cost_s, cost_p = pair(at + 4)
  local most_s, most_p = pair(at + 6)
  local s, p = missing(key, at)
  local after_s, after_p = add(s, p, cost_s, cost_p)
  local wait_s, wait_p = sub(after_s, after_p, fill_s, fill_p)
  if is_more(wait_s, wait_p, 0, 0) and is_more(wait_s, wait_p, most_s, most_p) then
    return {i, s, p}
  end
  after[i] = {after_s, after_p}
  told[#told + 1] = s
  told[#told + 1] = p
end
for i, key in ipairs(KEYS) do
  put(key, after[i][1], after[i][2], 3 + (i - 1) * 8)
end
return told
