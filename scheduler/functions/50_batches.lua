-- Batches: calls of which at most `max` are admitted and unfinished at a time; the next one is admitted by the step
-- that settles one, so that the window slides.

local function batch(P, id) return P .. ':batch:' .. id end

-- Lets a new member in, or puts it behind the ones that wait for the window. True when it was let in.
function sb.batch_enter(P, job, now)
  local key = batch(P, job.batch)
  local most = sb.num(redis.call('HGET', key, 'max'))
  redis.call('HINCRBY', key, 'total', 1)
  if most > 0 and sb.num(redis.call('HGET', key, 'open')) >= most then
    sb.move(P, job, 'waiting', now, 'batch')
    redis.call('RPUSH', key .. ':next', job.id)
    redis.call('EXPIRE', key .. ':next', 7 * 86400)
    local deadline = sb.num(job.deadline)
    if deadline > 0 then sb.due(P, job, deadline, now) end
    return false
  end
  redis.call('HINCRBY', key, 'open', 1)
  redis.call('HSET', job.key, 'in_window', '1')
  return true
end

function sb.batch_member_done(P, job, now)
  local key = batch(P, job.batch)
  if redis.call('EXISTS', key) == 0 then return end
  redis.call('HINCRBY', key, 'done', 1)
  redis.call('HINCRBY', key, 'n:' .. job.state, 1)
  if redis.call('HDEL', job.key, 'in_window') == 0 then return end
  redis.call('HINCRBY', key, 'open', -1)
  while true do
    local id = redis.call('LPOP', key .. ':next')
    if not id then return end
    local member = sb.load(P, id)
    if member and member.state == 'waiting' then
      redis.call('HINCRBY', key, 'open', 1)
      redis.call('HSET', member.key, 'in_window', '1')
      sb.admit(P, member, sb.policy(P, member.tool), now, 'batch window')
      return
    end
  end
end
