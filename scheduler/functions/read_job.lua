-- Reads a job, and asks to be told when it settles, in one step, so that no settling falls in between.
-- KEYS[1] root. ARGV: 1 job, 2 inbox ('' for none; +name to be told every event), 3 history 0|1, 4 explain 0|1.
-- RETURNS {} | {record, history, {before, microseconds}}; record as sb.RECORD, history as "microseconds state attempt
--   detail" from the oldest.

local function read_job(keys, args)
  local P = keys[1]
  local key = P .. ':job:' .. args[1]
  local record = redis.call('HMGET', key, unpack(sb.RECORD))
  if not record[1] then return {} end
  for i = 1, #record do record[i] = record[i] or '' end
  local open = not sb.TERMINAL[record[4]]
  if open then sb.watch(key, redis.call('HGET', key, 'inboxes'), args[2]) end
  local history, outlook = {}, {}
  if args[3] == '1' then
    for i = 1, sb.num(redis.call('HGET', key, 'seq')) do history[i] = redis.call('HGET', key, 'h' .. i) end
  end
  if args[4] == '1' and record[4] == 'waiting' then
    local now = sb.now()
    local job = sb.load(P, args[1])
    local before, wait = sb.outlook(P, job, sb.policy(P, job.tool), now)
    outlook = {before, sb.int(wait)}
  end
  return {record, history, outlook}
end

redis.register_function{function_name = 'sb1_read_job', callback = read_job, flags = {'allow-oom'}}
