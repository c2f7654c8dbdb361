-- Sets the fence before an effect.
-- KEYS[1] root. ARGV: 1 job, 2 attempt, 3 name of the effect, 4 a word of the caller's for this beginning: a repeat with
--   the same word, after a lost reply, gets the same answer.
-- RETURNS {'go'} begin it | {'again'} an earlier attempt began it and the policy lets it be begun again under its
--   idempotency key | {'done', receipt} an earlier attempt confirmed it | {'unknown'} an earlier attempt began it and
--   the policy forbids another | {'stale', state} the attempt does not hold the job any more.

local function begin_effect(keys, args)
  local P = keys[1]
  local key = P .. ':job:' .. args[1]
  local field = 'fx:' .. args[3]
  local job = redis.call('HMGET', key, 'state', 'attempts', 'tool', field)
  if job[1] ~= 'running' or job[2] ~= args[2] then return {'stale', job[1] or 'gone'} end
  if not job[4] then
    redis.call('HSET', key, field, 'begun ' .. args[4])
    redis.call('HINCRBY', key, 'fences', 1)
    return {'go'}
  end
  if job[4] == 'begun ' .. args[4] then return {'go'} end
  if string.sub(job[4], 1, 5) == 'done ' then return {'done', string.sub(job[4], 6)} end
  if redis.call('HGET', P .. ':tool:' .. job[3], 'effect') == 'write' then return {'unknown'} end
  return {'again'}
end

redis.register_function{function_name = 'sb1_begin_effect', callback = begin_effect, flags = {'allow-oom'}}
