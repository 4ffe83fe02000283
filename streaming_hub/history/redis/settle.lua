-- Compare what the nodes have seen with what the server still has, after the server's memory may have changed: a new
-- hub, a restart, a promoted replica, FLUSHALL. Nothing is published until that is settled, so no number is given out
-- twice in an epoch.
--
-- KEYS: meta (hash), reports (hash: node -> era epoch head), nodes (sorted set), log (stream)
-- ARGV: run, node, format, patience (ms), new epoch, node's era (0: knows nothing), node's epoch, node's head, nodes to
--       wait for ...
-- Answer: {"settled", epoch, era, head, oldest, erased low, erased high, carried, new (1 where this call began an epoch)}
--         {"waiting", how many have reported}; {"format", the stored one}
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local run, node, format, patience, new_epoch = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local era, epoch, seen = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])

local function stored()
  local m = redis.call('HMGET', KEYS[1], 'format', 'run', 'epoch', 'era', 'head', 'oldest', 'erased_low', 'erased_high', 'carried')
  return { format = m[1], run = m[2], epoch = m[3], era = tonumber(m[4] or '0'), head = tonumber(m[5] or '0'),
    oldest = tonumber(m[6] or '1'), low = m[7], high = m[8], carried = m[9] }
end

local meta = stored()
if meta.format and meta.format ~= format then
  return { 'format', meta.format }
end

-- Whether a node has seen more than the server has: the same epoch further on, or a later epoch.
local function ahead(its_era, its_epoch, its_head)
  if its_era == 0 then
    return false
  end
  if its_epoch == meta.epoch then
    return its_head > meta.head
  end
  return its_era > meta.era
end

local function answer(new)
  return { 'settled', meta.epoch, meta.era, meta.head, meta.oldest, meta.low, meta.high, meta.carried or '', new }
end

local settled = meta.epoch and meta.run == run
if settled and not ahead(era, epoch, seen) then
  return answer(0)
end

local reports = KEYS[2]
if settled then
  -- A node comes late that has seen more: nobody publishes until all have compared again.
  redis.call('HDEL', KEYS[1], 'run')
end
if redis.call('HGET', reports, ' run') ~= run or settled then
  redis.call('DEL', reports)
  redis.call('HSET', reports, ' run', run, ' since', now)
end
redis.call('HSET', reports, node, string.format('%.0f %s %.0f', era, epoch ~= '' and epoch or '-', seen))
for place = 9, #ARGV do
  redis.call('HSETNX', reports, ARGV[place], '?')
end
for _, name in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  redis.call('HSETNX', reports, name, '?')
end
redis.call('PEXPIRE', reports, 60000)

local missing, lost, latest = 0, not meta.epoch, meta.era
local all = redis.call('HGETALL', reports)
for place = 1, #all, 2 do
  local name, text = all[place], all[place + 1]
  if text == '?' then
    missing = missing + 1
  elseif string.sub(name, 1, 1) ~= ' ' then
    local its_era, its_epoch, its_head = string.match(text, '^(%d+) (%S+) (%d+)$')
    its_era, its_head = tonumber(its_era), tonumber(its_head)
    latest = math.max(latest, its_era)
    lost = lost or ahead(its_era, its_epoch, its_head)
  end
end
local since = tonumber(redis.call('HGET', reports, ' since'))
if missing > 0 and now - since < patience then
  return { 'waiting', missing }
end

redis.call('DEL', reports)
if not lost then
  redis.call('HSET', KEYS[1], 'run', run)
  return answer(0)
end
-- Where `meta` alone was lost or is older than the log, its head would be given out a second time: Redis refuses that.
local newest = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)[1]
if newest then
  meta.head = math.max(meta.head, tonumber(string.match(newest[1], '^%d+')))
end
-- What survived goes on under a new epoch; `carried` says from which epochs, and up to which number.
if meta.epoch then
  meta.carried = string.sub(meta.epoch .. ':' .. string.format('%.0f', meta.head) .. ' ' .. (meta.carried or ''), 1, 1000)
end
meta.epoch, meta.era = new_epoch, latest + 1
redis.call('HSET', KEYS[1], 'format', format, 'run', run, 'epoch', new_epoch, 'era', meta.era,
  'head', string.format('%.0f', meta.head), 'oldest', string.format('%.0f', meta.oldest), 'carried', meta.carried or '')
return answer(1)
