-- Waiting rooms: the jobs of a tool that may not start yet, by priority and then by arrival. A job in a room holds
-- no worker, no worker's memory and no message; a pump releases it when a token or a slot will be there.

local STEP = 1e13 -- one priority; arrival numbers stay below it

local function room(P, tool) return P .. ':room:' .. tool end

-- Arrival is given once and kept, so that a job that comes back keeps its place.
local function enter(P, job)
  if job.order == '' then
    job.order = sb.int((9 - sb.num(job.priority)) * STEP + redis.call('HINCRBY', P .. ':stats:' .. job.tool, 'arrivals', 1))
  end
  redis.call('ZADD', room(P, job.tool), job.order, job.id)
end

-- Releases that were promised a token and have not started; one whose hint was lost is dropped by its expiry.
local function outstanding(P, tool, now)
  local key = P .. ':released:' .. tool
  redis.call('ZREMRANGEBYSCORE', key, '-inf', sb.int(now))
  return redis.call('ZCARD', key)
end

local function promise(P, tool, id, now)
  local key = P .. ':released:' .. tool
  redis.call('ZADD', key, sb.int(now + sb.GRACE), id)
  sb.expire_later(key, 10 * sb.GRACE)
end

function sb.slots_free(P, tool, policy, now)
  local most = sb.num(policy.concurrency)
  if most == 0 then return sb.FOREVER end
  local key = P .. ':running:' .. tool
  redis.call('ZREMRANGEBYSCORE', key, '-inf', sb.int(now))
  return most - redis.call('ZCARD', key)
end

-- Microseconds until one more start of the tool can be promised; nil when only a settle can make room.
local function wait_for_start(P, tool, policy, now)
  local interval = sb.num(policy.interval)
  local promised = outstanding(P, tool, now)
  if sb.slots_free(P, tool, policy, now) - promised <= 0 then return nil end
  if interval == 0 then return 0 end
  local bucket = {key = P .. ':bucket:tool:' .. tool, interval = interval, burst = sb.num(policy.burst)}
  return sb.wait_for(bucket, promised + 1, now)
end

local function limited(policy)
  return sb.num(policy.interval) > 0 or sb.num(policy.concurrency) > 0
end

-- Hints what the room may start now. Returns how many, and keeps P:rooms at the next possible time.
function sb.release(P, tool, policy, now, most)
  local key, released = room(P, tool), 0
  while released < most do
    local head = redis.call('ZRANGE', key, 0, 0)[1]
    if not head then
      redis.call('ZREM', P .. ':rooms', tool)
      return released
    end
    local wait = wait_for_start(P, tool, policy, now)
    if wait ~= 0 then
      local at = now + math.min(wait or 1000000, 1000000)
      redis.call('ZADD', P .. ':rooms', sb.int(at), tool)
      sb.wake(P, at)
      return released
    end
    redis.call('ZREM', key, head)
    local job = sb.load(P, head)
    if job and job.state == 'waiting' then
      promise(P, tool, head, now)
      sb.move(P, job, 'queued', now, 'released')
      sb.hint(P, job, now)
      released = released + 1
    end
  end
  redis.call('ZADD', P .. ':rooms', sb.int(now), tool)
  sb.wake(P, now)
  return released
end

-- Puts a job where it belongs now: into its queue, or into its tool's room. A newcomer never passes the room.
function sb.admit(P, job, policy, now, why)
  if not limited(policy) then
    sb.move(P, job, 'queued', now, why)
    sb.hint(P, job, now)
    return
  end
  if redis.call('EXISTS', room(P, job.tool)) == 0 and wait_for_start(P, job.tool, policy, now) == 0 then
    promise(P, job.tool, job.id, now)
    sb.move(P, job, 'queued', now, why)
    sb.hint(P, job, now)
    return
  end
  sb.wait(P, job, policy, now, why)
end

-- Puts a job into the room; its deadline is what looks at it besides the pump.
function sb.wait(P, job, policy, now, why)
  enter(P, job)
  sb.move(P, job, 'waiting', now, why, {'order', job.order})
  local deadline = sb.num(job.deadline)
  if deadline > 0 then
    sb.due(P, job, deadline, now)
  else
    redis.call('ZREM', P .. ':due', job.id)
  end
  redis.call('ZREM', P .. ':released:' .. job.tool, job.id)
  sb.release(P, job.tool, policy, now, 1)
end

-- Parks a job that a keyed limit blocks, so that it does not hold up others of its tool.
function sb.park(P, job, at, now, why)
  sb.move(P, job, 'waiting', now, why)
  redis.call('ZREM', P .. ':released:' .. job.tool, job.id)
  sb.due(P, job, at, now)
end

-- Takes a job out of every room and set that only open jobs are in.
function sb.leave(P, job, was)
  if was == 'waiting' then
    redis.call('ZREM', room(P, job.tool), job.id)
    if job.batch ~= '' then redis.call('LREM', P .. ':batch:' .. job.batch .. ':next', 1, job.id) end
  elseif was == 'queued' then
    redis.call('ZREM', P .. ':released:' .. job.tool, job.id)
  elseif was == 'running' then
    redis.call('ZREM', P .. ':running:' .. job.tool, job.id)
  end
end

-- Where a waiting job stands: how many are before it, and the microseconds until it can start at the steady rate.
function sb.outlook(P, job, policy, now)
  local rank = redis.call('ZRANK', room(P, job.tool), job.id)
  if not rank then return -1, math.max(0, sb.num(redis.call('ZSCORE', P .. ':due', job.id)) - now) end
  local interval = sb.num(policy.interval)
  if interval == 0 then return rank, 0 end
  local bucket = {key = P .. ':bucket:tool:' .. job.tool, interval = interval, burst = sb.num(policy.burst)}
  return rank, sb.wait_for(bucket, rank + 1 + outstanding(P, job.tool, now), now)
end

-- Microseconds until a job submitted now could start, over the room before it and all of its buckets.
function sb.estimate(P, job, policy, now)
  if not limited(policy) and job.limits == '' then return 0 end
  local wait = 0
  for _, b in ipairs(sb.buckets(P, job, policy)) do
    local before = b.own and redis.call('ZCARD', room(P, job.tool)) + outstanding(P, job.tool, now) or 0
    wait = math.max(wait, sb.wait_for(b, before + 1, now))
  end
  if wait == 0 and sb.slots_free(P, job.tool, policy, now) - outstanding(P, job.tool, now) <= 0 then
    return 1000000 -- a slot is freed by a settle, which cannot be foreseen: a guess
  end
  return wait
end
