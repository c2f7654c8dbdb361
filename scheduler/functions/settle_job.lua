-- Ends an attempt with its outcome. Refused unless the attempt still holds the job.
-- KEYS[1] root. ARGV: 1 job, 2 attempt (the fencing token), 3 succeeded | failed | retry | expired | cancelled | back,
--   4 result or error (JSON; '' for back), 5 microseconds the tool ran, 6 microseconds until the next attempt (retry),
--   7 refund 0|1 (the provider was never reached).
-- RETURNS {state} the job is in now, also to a repeat after a lost reply | {'stale', state} when the attempt does not
--   hold the job any more.
-- INVARIANT: a job is settled once; what a zombie brings is refused.

-- True when the attempt has brought this very outcome before. No rescue ends a job as succeeded or failed.
local function repeated(job, attempt, outcome)
  return job.attempts == attempt and (job.state == outcome or (outcome == 'retry' and job.state == 'failed'))
    and (job.state == 'succeeded' or job.state == 'failed')
end

local function settle_job(keys, args)
  local P, now = keys[1], sb.now()
  local job = sb.load(P, args[1])
  if not job then return {'stale', 'gone'} end
  if job.state ~= 'running' or job.attempts ~= tonumber(args[2]) then
    if repeated(job, tonumber(args[2]), args[3]) then return {job.state} end
    return {'stale', job.state}
  end
  job.attempt_tells = true
  local policy = sb.policy(P, job.tool)
  local outcome, body = args[3], args[4]
  if args[7] == '1' then sb.refund(sb.buckets(P, job, policy), now) end
  local run_us = tonumber(args[5])
  sb.observe(P .. ':stats:' .. job.tool, 'run:', run_us)
  local unconfirmed = sb.num(job.fences) > 0 and policy.effect == 'write'
  if outcome == 'succeeded' then
    sb.finish(P, job, 'succeeded', now, '', {'result', body, 'error', '', 'run_us', args[5], 'fences', 0})
  elseif unconfirmed then
    sb.unknown(P, job, now, 'the attempt ended as ' .. outcome)
  elseif outcome == 'back' then
    redis.call('HINCRBY', job.key, 'spared', 1)
    sb.rescue(P, job, now, 'given back')
  elseif outcome == 'retry' then
    local at = now + tonumber(args[6])
    local deadline = sb.num(job.deadline)
    local faults = redis.call('HINCRBY', job.key, 'faults', 1)
    if job.cancel ~= '' then
      sb.cancelled(P, job, now)
    elseif faults < sb.num(policy.attempts) and not (deadline > 0 and at >= deadline) then
      sb.leave(P, job, 'running')
      redis.call('HINCRBY', P .. ':stats:' .. job.tool, 'retries', 1)
      sb.move(P, job, 'retrying', now, body, {'error', body})
      sb.due(P, job, at, now)
    else
      sb.finish(P, job, 'failed', now, '', {'error', body, 'run_us', args[5]})
    end
  else
    sb.finish(P, job, outcome, now, '', {'error', body, 'run_us', args[5]})
  end
  if sb.num(policy.concurrency) > 0 then sb.release(P, job.tool, policy, now, 1) end
  return {job.state}
end

redis.register_function{function_name = 'sb1_settle_job', callback = settle_job, flags = {'allow-oom'}}
