-- One bucket: takes what is owed, puts back what was not used, and leases the first amount of the
-- list that it holds. After the clock: the time in which it gains one, that in which it fills, owed,
-- back, the least that helps, then the amounts. Gives {place of the amount or 0, how long there is not even the least}.
local key = KEYS[1]
local fill_s, fill_p = pair(5)
local owed_s, owed_p = pair(7)
local back_s, back_p = pair(9)
local least_s, least_p = pair(11)
local s, p = missing(key, 3)
s, p = sub(s, p, back_s, back_p)
if is_more(owed_s, owed_p, 0, 0) then
  s, p = add(s, p, owed_s, owed_p)
  -- At most a whole bucket is owed.
  local most_s, most_p = add(fill_s, fill_p, fill_s, fill_p)
  if is_more(s, p, most_s, most_p) then s, p = most_s, most_p end
end
local granted = 0
for i = 13, #ARGV, 2 do
  local more_s, more_p = pair(i)
  local after_s, after_p = add(s, p, more_s, more_p)
  if not is_more(after_s, after_p, fill_s, fill_p) then
    s, p, granted = after_s, after_p, (i - 11) / 2
    break
  end
end
put(key, s, p, 3)
local wait_s, wait_p = 0, 0
if granted == 0 then
  local after_s, after_p = add(s, p, least_s, least_p)
  wait_s, wait_p = sub(after_s, after_p, fill_s, fill_p)
end
return {granted, wait_s, wait_p}
