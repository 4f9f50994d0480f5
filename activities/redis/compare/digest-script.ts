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
 * A line is `digest type expireAtMs`, without the last where a key does not expire. `-` = no such key.
 *
 * Depths: `meta` reads type and expiry. All others digest a string by its bytes, and a set free of order: before 7.2 every set
 * of strings is a hash table, whose order differs from process to process (facts/redis-aws 4.6). Beyond that,
 * `quick` digests DUMP without its last 10 bytes (RDB version and checksum, which differ between engine versions): cheapest, but
 * equal values can differ in encoding. DUMP's first byte names that: a hash kept as a table (4) is digested free of order at once.
 * `typed` digests the members in the order the server gives them, free of encodings. `full` is free of order in hashes too: sums
 * of the members' digests; scores as doubles (their text differs between versions, and -0 is 0).
 * Lua's own sort is no way to order members: it compares by the server's locale.
 * Strings are not dumped because DUMP compresses them, and so depends on the server's rdbcompression.
 * A HyperLogLog is a string that keeps its last count in itself: PFCOUNT writes it there, without an event, on one side alone. It is left out.
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
local lengths = { list = 'LLEN', set = 'SCARD', zset = 'ZCARD', hash = 'HLEN', stream = 'XLEN' }

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

local no_count = string.rep('\\0', 8)
local function without_count(value)
  if #value < 16 or sub(value, 1, 4) ~= 'HYLL' or string.byte(value, 5) > 1 then return value end
  return sub(value, 1, 8) .. no_count .. sub(value, 17)
end

local function digest(k, kind)
  if depth == 'quick' and kind ~= 'set' then
    local dump = call('DUMP', k)
    if not dump or string.byte(dump, 1) ~= 4 then return dump and sha(sub(dump, 1, -11)) end
  end
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

local function size_of(k, kind)
  local length = lengths[kind]
  if not has_memory then return length and call(length, k) * 1024 or 0 end
  local size = call('MEMORY', 'USAGE', k) or 0
  if size > 8192 and length and (kind == 'set' or depth ~= 'quick') and call(length, k) > 2000 then
    return big_bytes + 1
  end
  return size
end

local out, used, bigs, seen = {}, 0, 0, 0
for i = 1, #KEYS do
  local k = KEYS[i]
  local kind, at = call('TYPE', k).ok, -2
  if kind ~= 'none' then
    if has_abs then
      at = call('PEXPIRETIME', k)
    else
      at = call('PTTL', k)
      if at >= 0 then at = now + at end
    end
  end
  if at == -2 then
    out[i] = '-'
  else
    local d = '='
    if depth ~= 'meta' then
      local size
      if kind == 'string' then
        -- Its first bytes and its size in one call; one byte more than allowed tells that it is too large.
        local value = call('GETRANGE', k, 0, big_bytes)
        size = #value
        d = size > big_bytes and 'B' or sha(without_count(value))
      else
        size = size_of(k, kind)
        d = size > big_bytes and 'B' or digest(k, kind) or 'B'
        -- A digest of each member takes longer than one of all.
        if kind == 'set' or (kind == 'hash' and depth == 'full') then size = size * 4 end
      end
      if d == 'B' then bigs = bigs + 1 else used = used + size end
    end
    -- Lua prints a number in 14 digits, unless told otherwise; telling takes time.
    if at == -1 then
      out[i] = d .. ' ' .. kind
    else
      out[i] = d .. ' ' .. kind .. ' ' .. (at < 1e14 and at or fmt('%.0f', at))
    end
  end
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

/**
 * The same for a node of a cluster, with the keys' names behind the other arguments: all names in KEYS must lie in one slot. What a
 * script without a `#!lua` line touches beside these may lie in any slot of the node; a key of another node is an error.
 */
export const CLUSTER_DIGEST_SCRIPT = `local KEYS = {}
for i = 7, #ARGV do KEYS[i - 6] = ARGV[i] end${DIGEST_SCRIPT}`;
