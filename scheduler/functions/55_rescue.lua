-- What becomes of an attempt that ended without settling: its worker died, froze or lost its lease.

local function over(job, now)
  local deadline = sb.num(job.deadline)
  return deadline > 0 and deadline <= now
end
sb.over = over

function sb.expire(P, job, now)
  sb.finish(P, job, 'expired', now, 'deadline', {'error', sb.error('TOOL_EXPIRED', 'CallExpired',
    'the deadline of call ' .. job.tcid .. ' to ' .. job.tool .. ' passed while it was ' .. job.state ..
    '; submit it again with a later deadline', false)})
end

function sb.unknown(P, job, now, why)
  sb.finish(P, job, 'unknown', now, why, {'error', sb.error('TOOL_OUTCOME_UNKNOWN', 'OutcomeUnknown',
    'call ' .. job.tcid .. ' to ' .. job.tool .. ' began an effect and never confirmed it (' .. why ..
    '); ask the provider, then resolve job ' .. job.id, false)})
end

function sb.rescue(P, job, now, why)
  local policy = sb.policy(P, job.tool)
  local ended = redis.call('HMGET', job.key, 'spared', 'faults') -- otherwise than with their process
  local lost = job.attempts - sb.num(ended[1]) - sb.num(ended[2])
  if sb.num(job.fences) > 0 and policy.effect == 'write' then
    sb.unknown(P, job, now, why)
  elseif job.cancel ~= '' then
    sb.cancelled(P, job, now)
  elseif over(job, now) then
    sb.expire(P, job, now)
  elseif lost >= sb.num(policy.crashes) then
    sb.finish(P, job, 'dead', now, why, {'error', sb.error('TOOL_DEAD', 'CallDead', 'call ' .. job.tcid .. ' to ' ..
      job.tool .. ' took its worker down ' .. lost .. ' times (' .. why .. '); look at job ' .. job.id ..
      ', then replay or discard it', false)})
  else
    sb.leave(P, job, 'running')
    redis.call('HINCRBY', P .. ':stats:' .. job.tool, 'rescues', 1)
    sb.move(P, job, 'queued', now, why)
    sb.hint(P, job, now)
  end
end

function sb.cancelled(P, job, now)
  sb.finish(P, job, 'cancelled', now, 'cancelled', {'error', sb.error('TOOL_CANCELLED', 'CallCancelled',
    'call ' .. job.tcid .. ' to ' .. job.tool .. ' was cancelled by its caller', false)})
end
