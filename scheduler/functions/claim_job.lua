-- Starts an attempt: the only place where a token is taken and where attempts are counted, so that a crash counts.
-- KEYS[1] root. ARGV: 1 job, 2 worker ("host:pid"), 3 lease (microseconds), 4 a word of the caller's for this claim:
--   a repeat with the same word, after a lost reply, gets the same answer.
-- RETURNS {'run', attempt, payload, tool, role, tenant, tool_call_id, microseconds to the deadline or -1, celery id,
--   retryable faults so far} | {'wait', microseconds} | {'skip', state} | {'gone'}.
-- INVARIANT: at most one attempt of a job holds a lease; the attempt number is the fencing token and only rises.

local function held(job, now)
  local deadline = sb.num(job.deadline)
  local rest = redis.call('HMGET', job.key, 'payload', 'faults')
  return {'run', job.attempts, rest[1], job.tool, job.role, job.tenant, job.tcid,
    deadline > 0 and sb.int(deadline - now) or '-1', job.celery_id, sb.num(rest[2])}
end

local function claim_job(keys, args)
  local P, now = keys[1], sb.now()
  local job = sb.load(P, args[1])
  if not job then return {'gone'} end
  if job.state == 'running' and redis.call('HGET', job.key, 'claim') == args[4] then return held(job, now) end
  if job.state == 'running' and sb.num(job.lease) <= now then sb.rescue(P, job, now, 'lease lost') end
  if job.state ~= 'queued' then return {'skip', job.state} end
  if sb.over(job, now) then
    sb.expire(P, job, now)
    return {'skip', 'expired'}
  end
  local policy = sb.policy(P, job.tool)
  if sb.slots_free(P, job.tool, policy, now) <= 0 then
    sb.wait(P, job, policy, now, 'concurrency')
    return {'wait', 0}
  end
  local wait, blocked = sb.take(sb.buckets(P, job, policy), now)
  if wait > 0 then
    if job.on_limit == 'raise' and job.attempts == 0 then -- a call that has begun is not refused any more
      sb.finish(P, job, 'failed', now, 'limit', {'refused', '1', 'error', sb.error('TOOL_RATE_LIMITED',
        'RateLimitError', job.tool .. ' is at its limit; call again in ' .. string.format('%.3f', wait / 1000000) ..
        ' s, or submit with on_limit="wait"', true, wait)})
      return {'skip', 'failed'}
    end
    if blocked.own then
      sb.wait(P, job, policy, now, 'limit')
    else
      sb.park(P, job, now + wait, now, 'limit ' .. string.sub(blocked.key, #P + 9))
    end
    return {'wait', sb.int(wait)}
  end
  local lease = now + tonumber(args[3])
  redis.call('ZREM', P .. ':released:' .. job.tool, job.id)
  if sb.num(policy.concurrency) > 0 then
    redis.call('ZADD', P .. ':running:' .. job.tool, sb.int(lease), job.id)
    redis.call('EXPIRE', P .. ':running:' .. job.tool, 86400)
  end
  job.attempts = job.attempts + 1
  local fields = {'attempts', job.attempts, 'lease', sb.int(lease), 'worker', args[2], 'claim', args[4]}
  local stats = P .. ':stats:' .. job.tool
  if job.attempts == 1 then
    fields[#fields + 1], fields[#fields + 2] = 'started', sb.int(now)
    sb.observe(stats, 'wait:', now - sb.num(job.created))
  end
  sb.move(P, job, 'running', now, args[2], fields)
  redis.call('ZADD', P .. ':due', sb.int(lease), job.id)
  return held(job, now)
end

redis.register_function{function_name = 'sb1_claim_job', callback = claim_job, flags = {'allow-oom'}}
