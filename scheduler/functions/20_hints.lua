-- Hints: Celery messages that say "this job may be runnable". One may be lost or doubled without harm.

sb.GRACE = 5000000 -- microseconds a popped hint may take to become a claim before the job is hinted again
sb.MAX_GRACE = 300000000
sb.POP = 1000 -- microseconds a hint in the queue needs at least, which spreads the looks at a long backlog: a guess

local BANDS = {[0] = 9, 9, 9, 6, 6, 6, 3, 3, 0, 0} -- priority 0..9 (9 first) -> kombu's lists (0 first)

-- Pushes a message that names the job; returns its list and its number in it.
local function push(P, job)
  local band = BANDS[sb.num(job.priority)] or 6
  local queue = P .. ':q:' .. job.queue
  local list = band == 0 and queue or queue .. '\6\22' .. band
  local mark = redis.call('HINCRBY', P .. ':pushed', list, 1)
  local task = cjson.encode(job.celery_id ~= '' and job.celery_id or job.id)
  local plain = job.celery_id ~= '' and redis.call('HMGET', job.key, 'embed', 'headers') or {}
  local group = job.batch ~= '' and cjson.encode(job.batch) or 'null'
  local body = '[["' .. job.id .. '"],{},' ..
    (plain[1] or '{"callbacks":null,"errbacks":null,"chain":null,"chord":null}') .. ']'
  local headers = plain[2] or ('"root_id":' .. task .. ',"parent_id":null,"group":' .. group ..
    ',"ignore_result":true')
  local message = '{"body":' .. cjson.encode(body) ..
    ',"content-encoding":"utf-8","content-type":"application/json","headers":{"lang":"py","task":"tools.' ..
    job.tool .. '","id":' .. task .. ',"shadow":null,"eta":null,"expires":null,"retries":' .. job.attempts ..
    ',"timelimit":[null,null],"argsrepr":"(\'' .. job.id .. '\',)","kwargsrepr":"{}","origin":"salesboost",' ..
    '"salesboost":1,' .. headers .. '},"properties":{"correlation_id":' .. task ..
    ',"reply_to":"","delivery_mode":2,"delivery_info":{"exchange":"","routing_key":"' .. queue ..
    '"},"priority":' .. band .. ',"delivery_tag":"' .. job.id .. '.' .. mark .. '"}}'
  redis.call('LPUSH', list, message)
  return list, mark
end

-- Pushes the hint of a queued job and says when to look whether it was followed; `again` when an earlier hint of the
-- same wait was not, so that the next look is later.
function sb.hint(P, job, now, again)
  local list, mark = push(P, job)
  job.hints = again and job.hints + 1 or 1
  redis.call('HSET', job.key, 'list', list, 'mark', mark, 'hints', job.hints)
  local grace = math.min(sb.GRACE * 2 ^ math.min(job.hints - 1, 10), sb.MAX_GRACE)
  sb.due(P, job, now + grace, now)
end

-- Has a worker tell the plain Celery producer of a job that has settled outside of an attempt, through Celery's result
-- back end. Once: the truth is in the ledger.
function sb.tell_plain(P, job)
  push(P, job)
end

-- Place of the job's last hint in its list, 1 for the next to be popped, 0 when it has been popped: the lists are first
-- in, first out, so a hint whose number is above pushed - length is still there. This is what keeps a long backlog from
-- being hinted twice.
function sb.place(P, job)
  local mark = tonumber(job.mark)
  if not mark or job.list == '' then return 0 end
  local pushed = sb.num(redis.call('HGET', P .. ':pushed', job.list))
  return math.max(0, mark - (pushed - redis.call('LLEN', job.list)))
end
