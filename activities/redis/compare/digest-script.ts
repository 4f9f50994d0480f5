/**
 * The script that digests keys on the server, so that 40 characters travel in place of a value.
 *
 * It only reads, names all its keys in KEYS, and uses nothing that ElastiCache blocks (no CONFIG, no DEBUG); it runs on
 * primaries and read-only replicas of Redis 5, 6, 7 and Valkey. Plain EVAL text (no `#!lua` line, which is 7.0 and later).
 * A script blocks its server: a key larger than `bigBytes` is not touched but handed back as big, and the
 * script stops by itself once it has read `budgetBytes`.
 *
 * ARGV: depth, bigBytes, budgetBytes, has PEXPIRETIME, has HPEXPIRETIME, has MEMORY USAGE (1 or 0).
 * Returns: server's time in ms, one line per key, number of keys looked at, number of big ones, microseconds it took.
 * A line is `digest type expireAtMs`, shortened from the right: type `?` and no expiry are left out. `-` = no such key.
 *
 * Depths: `meta` reads type and expiry. `quick` digests DUMP without its last 10 bytes (RDB version and checksum,
 * which differ between engine versions): cheapest, but equal values can differ in encoding. DUMP's first byte names the
 * encoding: sets (2) and hashes (4) kept as hash tables have an order that differs from process to process (facts/redis-aws
 * 4.6) and are digested free of order at once. Before 7.2 every set of strings is one: they must not make all the rest dear.
 * `typed` digests the members in the order the server gives them, free of encodings, and sets free of order. `full` is
 * free of order in hashes too: sums of the members' digests; scores as doubles (their text differs between versions, and -0 is 0).
 * Lua's own sort is no way to order members: it compares by the server's locale.
 *
 * digest-plain.ts makes the same lines, byte for byte, out of plain commands.
 */
export const DIGEST_SCRIPT = `
local call, sha, sub, fmt = redis.call, redis.sha1hex, string.sub, string.format
local depth, big_bytes, budget = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local has_abs, has_field_ttl, has_memory = ARGV[4] == '1', ARGV[5] == '1', ARGV[6] == '1'
local _, clock = pcall(function() return os.clock end)
if type(clock) ~= 'function' then clock = nil end
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local started = clock and clock() or 0
local lengths = { string = 'STRLEN', list = 'LLEN', set = 'SCARD', zset = 'ZCARD', hash = 'HLEN', stream = 'XLEN' }

local function sum(count, item)
  local a, b, c, d = 0, 0, 0, 0
  for i = 1, count do
    local h = sha(item(i))
    a = a + tonumber(sub(h, 1, 10), 16)
    b = b + tonumber(sub(h, 11, 20), 16)
    c = c + tonumber(sub(h, 21, 30), 16)
    d = d + tonumber(sub(h, 31, 40), 16)
  end
  return fmt('%.0f.%.0f.%.0f.%.0f', a, b, c, d)
end

local function field_ttls(k, flat)
  local ttls = {}
  if has_field_ttl then
    for from = 1, #flat, 1000 do
      local fields = {}
      for i = from, math.min(from + 999, #flat), 2 do fields[#fields + 1] = flat[i] end
      local got = call('HPEXPIRETIME', k, 'FIELDS', #fields, unpack(fields))
      for i = 1, #fields do
        local at = got and got[i] or -1
        ttls[#ttls + 1] = at >= 0 and fmt('%.0f', at) or ''
      end
    end
  end
  return ttls
end

local function info(reply)
  local map = {}
  for i = 1, #reply, 2 do map[reply[i]] = reply[i + 1] end
  return map
end

local function stream(k)
  local flat = {}
  local function add(v) flat[#flat + 1] = tostring(v) end
  local entries = call('XRANGE', k, '-', '+')
  add(#entries)
  for _, entry in ipairs(entries) do
    add(entry[1])
    add(#entry[2])
    for _, v in ipairs(entry[2]) do flat[#flat + 1] = v end
  end
  add(info(call('XINFO', 'STREAM', k))['last-generated-id'])
  for _, reply in ipairs(call('XINFO', 'GROUPS', k)) do
    local group = info(reply)
    if group.pending > 2000 then return nil end
    add(group.name)
    add(group['last-delivered-id'])
    add(group.pending)
    if group.pending > 0 then
      for _, p in ipairs(call('XPENDING', k, group.name, '-', '+', group.pending)) do
        add(p[1])
        add(p[2])
        add(p[4])
      end
    end
  end
  return sha(cmsgpack.pack(flat))
end

local function digest(k, kind)
  if kind == 'string' then return sha(call('GET', k) or '') end
  if kind == 'list' then return sha(cmsgpack.pack(call('LRANGE', k, 0, -1))) end
  if kind == 'set' then
    local m = call('SMEMBERS', k)
    return sum(#m, function(i) return m[i] end)
  end
  if kind == 'hash' then
    local m = call('HGETALL', k)
    local ttls = field_ttls(k, m)
    if depth == 'typed' then return sha(cmsgpack.pack(m) .. table.concat(ttls)) end
    return sum(#m / 2, function(i)
      local field = m[2 * i - 1]
      return (ttls[i] or '') .. ':' .. #field .. ':' .. field .. m[2 * i]
    end)
  end
  if kind == 'zset' then
    local m = call('ZRANGE', k, 0, -1, 'WITHSCORES')
    if depth == 'full' then
      for i = 2, #m, 2 do m[i] = struct.pack('>d', tonumber(m[i]) + 0) end
    end
    return sha(cmsgpack.pack(m))
  end
  if kind == 'stream' then return stream(k) end
  local dump = call('DUMP', k)
  return dump and sha(sub(dump, 1, -11))
end

local out, used, bigs, seen = {}, 0, 0, 0
for i = 1, #KEYS do
  local k = KEYS[i]
  local kind, size, at = '?', 0, -2
  if depth ~= 'quick' then kind = call('TYPE', k).ok end
  if kind ~= 'none' then
    if depth ~= 'meta' then
      if has_memory then
        size = call('MEMORY', 'USAGE', k)
        if size and size > 8192 and kind ~= '?' and kind ~= 'string' and lengths[kind] then
          if call(lengths[kind], k) > 2000 then size = big_bytes + 1 end
        end
      elseif lengths[kind] then
        size = call(lengths[kind], k) * (kind == 'string' and 1 or 1024)
      end
    end
    if has_abs then
      at = call('PEXPIRETIME', k)
    else
      at = call('PTTL', k)
      if at >= 0 then at = now + at end
    end
  end
  local line = '-'
  if size and at ~= -2 then
    local d
    if depth == 'meta' then
      d = '='
    elseif size > big_bytes then
      d = 'B'
    elseif depth == 'quick' then
      local dump = call('DUMP', k)
      local encoding = dump and string.byte(dump, 1)
      if encoding == 2 or encoding == 4 then
        d = digest(k, encoding == 2 and 'set' or 'hash')
        -- A digest of each member takes longer than one of all.
        size = size * 4
      else
        d = dump and sha(sub(dump, 1, -11))
      end
    else
      d = digest(k, kind) or 'B'
      if kind == 'set' or (kind == 'hash' and depth == 'full') then size = size * 4 end
    end
    if d then
      if d == 'B' then bigs = bigs + 1 else used = used + size end
      if at ~= -1 then
        line = d .. ' ' .. kind .. ' ' .. fmt('%.0f', at)
      elseif kind ~= '?' then
        line = d .. ' ' .. kind
      else
        line = d
      end
    end
  end
  out[i] = line
  seen = i
  if used > budget then break end
end
local micros
if clock then
  micros = math.floor((clock() - started) * 1000000)
else
  local ended = call('TIME')
  micros = (ended[1] - time[1]) * 1000000 + (ended[2] - time[2])
end
return { fmt('%.0f', now), table.concat(out, '\\n'), seen, bigs, micros }
`;
