-- Say that a node is there, forget those that are silent, and tell who is there.
--
-- KEYS: nodes (sorted set: node by time of the last sign), configs (hash: node -> what must be equal)
-- ARGV: node, config, silence (ms) after which a node is forgotten
-- Answer: {node, config, ...}
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
-- Signs from the future were given before the server's clock was set back.
for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf')) do
  redis.call('ZADD', KEYS[1], now, ahead)
end
local answer = {}
for _, silent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))) do
  redis.call('ZREM', KEYS[1], silent)
  redis.call('HDEL', KEYS[2], silent)
end
for _, node in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  answer[#answer + 1] = node
  answer[#answer + 1] = redis.call('HGET', KEYS[2], node) or ''
end
return answer
