-- Remove events: those below a number, because they are too old or too many, or those that are listed, because they are
-- erased. The head never moves back.
--
-- KEYS: meta (hash), log (stream), ids (sorted set), notes (stream), gone (list: ranges of erased numbers)
-- ARGV: run, epoch, below (0 for none), a note for the other nodes ("" for none), how many notes are kept, how many
--       ranges are kept, then the numbers to erase, ascending
-- Answer: {"ok", head, oldest, erased low, erased high, the note's number, number erased, ...}, or {"unsettled"}
local meta = redis.call('HMGET', KEYS[1], 'run', 'epoch', 'head', 'oldest', 'erased_low', 'erased_high')
if meta[1] ~= ARGV[1] or meta[2] ~= ARGV[2] then
  return { 'unsettled' }
end
local head, oldest = tonumber(meta[3]), tonumber(meta[4])
local low, high = tonumber(meta[5] or nil), tonumber(meta[6] or nil)
local erased = {}
local first, last
local function keep_range()
  if first then
    redis.call('RPUSH', KEYS[5], string.format('%.0f %.0f', first, last))
  end
end
for place = 7, #ARGV do
  local number = ARGV[place]
  if redis.call('XDEL', KEYS[2], number .. '-0') == 1 then
    redis.call('ZREMRANGEBYSCORE', KEYS[3], number, number)
    erased[#erased + 1] = number
    number = tonumber(number)
    low, high = math.min(low or number, number), math.max(high or number, number)
    if number ~= (last or -1) + 1 then
      keep_range()
      first = number
    end
    last = number
  end
end
if first then
  keep_range()
  redis.call('LTRIM', KEYS[5], -tonumber(ARGV[6]), -1)
end
local floor = math.max(oldest, tonumber(ARGV[3]))
if floor > oldest or #erased > 0 then
  oldest = math.min(floor, head + 1)
  if high and high >= oldest then
    local first = redis.call('XRANGE', KEYS[2], string.format('%.0f-0', oldest), '+', 'COUNT', 1)[1]
    oldest = first and tonumber(string.match(first[1], '^%d+')) or head + 1
  end
  redis.call('XTRIM', KEYS[2], 'MINID', '=', string.format('%.0f-0', oldest))
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('(%.0f', oldest))
  redis.call('HSET', KEYS[1], 'oldest', string.format('%.0f', oldest))
  if low then
    redis.call('HSET', KEYS[1], 'erased_low', string.format('%.0f', low), 'erased_high', string.format('%.0f', high))
  end
end
local note = 0
if ARGV[4] ~= '' then
  note = redis.call('HINCRBY', KEYS[1], 'notes', 1)
  redis.call('XADD', KEYS[4], 'MAXLEN', '=', ARGV[5], string.format('%.0f-0', note), 'n', ARGV[4])
end
return { 'ok', head, oldest, low and string.format('%.0f', low) or false, high and string.format('%.0f', high) or false, note, unpack(erased) }
