-- Runs a dead, failed or unknown job again from its first attempt; its history and its fences stay.
-- KEYS[1] root. ARGV: 1 job.
-- RETURNS {state} the job is in now | {'refused', state} | {'gone'}.

local function replay_job(keys, args)
  local P, now = keys[1], sb.now()
  local job = sb.load(P, args[1])
  if not job then return {'gone'} end
  if job.state ~= 'dead' and job.state ~= 'failed' and job.state ~= 'unknown' then return {'refused', job.state} end
  redis.call('ZREM', P .. ':dead', job.id)
  redis.call('ZREM', P .. ':unknown', job.id)
  redis.call('PERSIST', job.key)
  redis.call('HSET', job.key, 'spared', job.attempts, 'faults', 0, 'deadline', '', 'batch', '', 'error', '')
  redis.call('HDEL', job.key, 'refused', 'settled', 'cancel')
  job.deadline, job.batch, job.order = '', '', ''
  sb.admit(P, job, sb.policy(P, job.tool), now, 'replayed')
  return {job.state}
end

redis.register_function{function_name = 'sb1_replay_job', callback = replay_job}
