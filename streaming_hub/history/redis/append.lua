-- Number, deduplicate, store and trim the events of one request: all of them or none. Redis checks memory, replicas and
-- its disk before a script's first write, so nothing can fail half-way.
--
-- KEYS: meta (hash), log (stream), ids (sorted set: event_id by number)
-- ARGV: run, epoch, most events, then for each event: id ("" or "=" and the event_id), header, body
-- Answer: {"ok", head, oldest, erased low, erased high, number, ...}; a known event's number is negative.
--         {"unsettled"} where the server's memory was not compared yet (settle.lua).
local meta = redis.call('HMGET', KEYS[1], 'run', 'epoch', 'head', 'oldest', 'erased_low', 'erased_high')
if meta[1] ~= ARGV[1] or meta[2] ~= ARGV[2] then
  return { 'unsettled' }
end
local before, oldest = tonumber(meta[3]), tonumber(meta[4])
local head = before
local answer = { 'ok', 0, 0, meta[5], meta[6] }
for place = 4, #ARGV, 3 do
  local id, known = ARGV[place], nil
  if id ~= '' then
    known = redis.call('ZSCORE', KEYS[3], id)
  end
  if known then
    answer[#answer + 1] = -tonumber(known)
  else
    head = head + 1
    redis.call('XADD', KEYS[2], string.format('%.0f-0', head), 'h', ARGV[place + 1], 'b', ARGV[place + 2])
    if id ~= '' then
      redis.call('ZADD', KEYS[3], head, id)
    end
    answer[#answer + 1] = head
  end
end
local floor = head - tonumber(ARGV[3]) + 1
if floor > oldest then
  oldest = floor
  if meta[6] and tonumber(meta[6]) >= oldest then
    local first = redis.call('XRANGE', KEYS[2], string.format('%.0f-0', oldest), '+', 'COUNT', 1)[1]
    oldest = first and tonumber(string.match(first[1], '^%d+')) or head + 1
  end
  redis.call('XTRIM', KEYS[2], 'MINID', '=', string.format('%.0f-0', oldest))
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('(%.0f', oldest))
end
if head > before then
  redis.call('HSET', KEYS[1], 'head', string.format('%.0f', head), 'oldest', string.format('%.0f', oldest))
end
answer[2], answer[3] = head, oldest
return answer
