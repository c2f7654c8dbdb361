-- Chooses a tool of a group: epsilon-greedy on the mean reward, by statistics that all processes share.
-- KEYS[1] root. ARGV: 1 group, 2 and 3 two random numbers in [0, 1) (Redis seeds its own generator alike in each call),
--   4 decision id, 5 microseconds for which feedback is accepted.
-- RETURNS {'chosen', tool, decision id} | {'chosen', first tool, ''} when routing is switched off | {'unknown'}.
--   P:group:<name>  HASH tools (words), enabled 0|1, epsilon; published by workers
--   P:bandit:<name> HASH <tool>:pulls, :feedbacks, :successes, :reward, :latency_ms
--   P:decision:<id> HASH group, tool, open 1|0; TTL
-- INVARIANT: an arm without feedback comes before every other; ties go to the earlier tool of the group.

local function select_arm(keys, args)
  local P, group = keys[1], args[1]
  local config = redis.call('HMGET', P .. ':group:' .. group, 'tools', 'enabled', 'epsilon')
  if not config[1] then return {'unknown'} end
  local tools = {}
  for tool in string.gmatch(config[1], '%S+') do tools[#tools + 1] = tool end
  if config[2] ~= '1' then return {'chosen', tools[1], ''} end
  local bandit = P .. ':bandit:' .. group
  local pick
  if tonumber(args[2]) < tonumber(config[3]) then
    pick = tools[math.floor(tonumber(args[3]) * #tools) + 1]
  else
    local best
    for _, tool in ipairs(tools) do
      local counts = redis.call('HMGET', bandit, tool .. ':feedbacks', tool .. ':reward')
      local n = sb.num(counts[1])
      local mean = n > 0 and sb.num(counts[2]) / n or math.huge
      if not best or mean > best then pick, best = tool, mean end
    end
  end
  redis.call('HINCRBY', bandit, pick .. ':pulls', 1)
  local decision = P .. ':decision:' .. args[4]
  redis.call('HSET', decision, 'group', group, 'tool', pick, 'open', 1)
  sb.expire_later(decision, tonumber(args[5]))
  return {'chosen', pick, args[4]}
end

redis.register_function{function_name = 'sb1_select_arm', callback = select_arm}
