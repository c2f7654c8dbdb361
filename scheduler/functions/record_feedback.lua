-- Learns from one decision, once.
-- KEYS[1] root. ARGV: 1 decision id, 2 success 0|1, 3 latency (milliseconds).
-- RETURNS 'ok' | 'duplicate' | 'unknown' (never made, or expired).
-- The reward is success - 0.5 * min(latency / 5000, 1).

local function record_feedback(keys, args)
  local P = keys[1]
  local key = P .. ':decision:' .. args[1]
  local decision = redis.call('HMGET', key, 'group', 'tool', 'open')
  if not decision[1] then return 'unknown' end
  if decision[3] ~= '1' then return 'duplicate' end
  redis.call('HSET', key, 'open', 0)
  local latency = math.max(0, tonumber(args[3]))
  local reward = tonumber(args[2]) - 0.5 * math.min(latency / 5000, 1)
  local bandit, tool = P .. ':bandit:' .. decision[1], decision[2]
  redis.call('HINCRBY', bandit, tool .. ':feedbacks', 1)
  redis.call('HINCRBY', bandit, tool .. ':successes', tonumber(args[2]))
  redis.call('HINCRBYFLOAT', bandit, tool .. ':reward', string.format('%.9f', reward))
  redis.call('HINCRBYFLOAT', bandit, tool .. ':latency_ms', string.format('%.3f', latency))
  return 'ok'
end

redis.register_function{function_name = 'sb1_record_feedback', callback = record_feedback}
