-- Tell the other nodes something. Notes have numbers without holes, so that a node sees which it has missed.
--
-- KEYS: meta (hash), notes (stream)
-- ARGV: the note, how many notes are kept
-- Answer: its number
local number = redis.call('HINCRBY', KEYS[1], 'notes', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[2], string.format('%.0f-0', number), 'n', ARGV[1])
return number
