/** A parameter of a cache parameter group, as AWS describes it. */
export interface ParameterDefinition {
  name: string;
  value: string;
  type: 'integer' | 'string';
  /** `low-high`, or values separated by commas; '' for anything. */
  allowed: string;
  modifiable: boolean;
  /** Takes effect at once, or only in nodes started later. */
  change: 'immediate' | 'requires-reboot';
  description: string;
  /** The redis.conf directive it becomes, if it can be one here. */
  directive?: string;
}

const define = (
  name: string,
  value: string,
  allowed: string,
  description: string,
  more: Partial<ParameterDefinition> = {},
): ParameterDefinition => ({
  name,
  value,
  type: /^-?\d+$/.test(value) ? 'integer' : 'string',
  allowed,
  modifiable: true,
  change: 'immediate',
  description,
  ...more,
});
const fixed = { modifiable: false, change: 'requires-reboot' } as const;
const POLICIES =
  'volatile-lru,allkeys-lru,volatile-lfu,allkeys-lfu,volatile-random,allkeys-random,volatile-ttl,noeviction';
const SIZE = '0-9223372036854775807';

/**
 * A subset of AWS's parameters that is enough for preflight, sizing and tests; names, defaults and bounds are AWS's.
 * Those without a directive are kept and shown, but change nothing in the nodes.
 */
export const PARAMETERS: readonly ParameterDefinition[] = [
  define('activedefrag', 'no', 'yes,no', 'Enabled active memory defragmentation'),
  define('activerehashing', 'yes', 'yes,no', 'Apply rehashing or not.', {
    directive: 'activerehashing',
    change: 'requires-reboot',
  }),
  define('appendfsync', 'everysec', 'always,everysec,no', 'fsync policy for AOF persistence', { ...fixed }),
  define('appendonly', 'no', 'yes,no', 'Enable Redis persistence.', { ...fixed }),
  define('client-output-buffer-limit-normal-hard-limit', '0', SIZE, 'Normal client output buffer hard limit in bytes.'),
  define('client-output-buffer-limit-normal-soft-limit', '0', SIZE, 'Normal client output buffer soft limit in bytes.'),
  define(
    'client-output-buffer-limit-normal-soft-seconds',
    '0',
    SIZE,
    'Normal client output buffer soft limit in seconds.',
  ),
  define(
    'client-output-buffer-limit-pubsub-hard-limit',
    '33554432',
    SIZE,
    'Pubsub client output buffer hard limit in bytes.',
  ),
  define(
    'client-output-buffer-limit-pubsub-soft-limit',
    '8388608',
    SIZE,
    'Pubsub client output buffer soft limit in bytes.',
  ),
  define(
    'client-output-buffer-limit-pubsub-soft-seconds',
    '60',
    SIZE,
    'Pubsub client output buffer soft limit in seconds.',
  ),
  define(
    'close-on-replica-write',
    'yes',
    'yes,no',
    'If enabled, clients who attempt to write to a read-only replica will be disconnected.',
  ),
  define('cluster-allow-reads-when-down', 'no', 'yes,no', 'Allow reads when the cluster is down.'),
  define('cluster-enabled', 'no', 'yes,no', 'Enable cluster mode', { ...fixed }),
  define('cluster-require-full-coverage', 'no', 'yes,no', 'Require full slot coverage.'),
  define('databases', '16', '1-1200000', 'Set the number of databases.', {
    directive: 'databases',
    change: 'requires-reboot',
  }),
  define('hash-max-listpack-entries', '512', SIZE, 'The maximum number of hash entries in a listpack.', {
    directive: 'hash-max-listpack-entries',
  }),
  define('hash-max-listpack-value', '64', SIZE, 'The maximum length of a hash entry in a listpack.', {
    directive: 'hash-max-listpack-value',
  }),
  define('hll-sparse-max-bytes', '3000', '1-16000', 'HyperLogLog sparse representation bytes limit', {
    directive: 'hll-sparse-max-bytes',
  }),
  define('lazyfree-lazy-eviction', 'no', 'yes,no', 'Perform an asynchronous delete on evictions.', {
    directive: 'lazyfree-lazy-eviction',
  }),
  define('lazyfree-lazy-expire', 'no', 'yes,no', 'Perform an asynchronous delete on expired keys.', {
    directive: 'lazyfree-lazy-expire',
  }),
  define(
    'lfu-decay-time',
    '1',
    SIZE,
    'The amount of time in minutes to decrement the key counter for LFU eviction policy.',
    {
      directive: 'lfu-decay-time',
    },
  ),
  define(
    'lfu-log-factor',
    '10',
    '1-9223372036854775807',
    'The log factor for incrementing key counter for LFU eviction policy.',
    {
      directive: 'lfu-log-factor',
    },
  ),
  define(
    'list-compress-depth',
    '0',
    SIZE,
    'Number of quicklist ziplist nodes from each side of the list to exclude from compression.',
    {
      directive: 'list-compress-depth',
    },
  ),
  define(
    'list-max-listpack-size',
    '-2',
    '-5,-4,-3,-2,-1,1-9223372036854775807',
    'The number of entries allowed per internal list node.',
  ),
  define('maxclients', '65000', '1-65000', 'The maximum number of Redis clients.', { ...fixed }),
  define('maxmemory-policy', 'volatile-lru', POLICIES, 'Max memory policy.', { directive: 'maxmemory-policy' }),
  define('maxmemory-samples', '3', '1-9223372036854775807', 'Max memory samples.', { directive: 'maxmemory-samples' }),
  define('min-replicas-max-lag', '10', SIZE, 'The maximum amount of replica lag in seconds.', {
    directive: 'min-replicas-max-lag',
  }),
  define(
    'min-replicas-to-write',
    '0',
    SIZE,
    'The minimum number of replicas required for the primary to take writes.',
    {
      directive: 'min-replicas-to-write',
    },
  ),
  define('notify-keyspace-events', '', '', 'The keyspace events for Redis to notify Pub/Sub clients about.', {
    directive: 'notify-keyspace-events',
  }),
  define('proto-max-bulk-len', '536870912', '1048576-536870912', 'Max size of a single element request in bytes.', {
    directive: 'proto-max-bulk-len',
  }),
  define('repl-backlog-size', '1048576', '16384-9223372036854775807', 'The replication backlog size in bytes.', {
    directive: 'repl-backlog-size',
  }),
  define('repl-backlog-ttl', '3600', SIZE, 'Time in seconds before the backlog is released.', { ...fixed }),
  define('repl-timeout', '60', '11-60', 'The timeout in seconds for bulk transfer and master ping.', { ...fixed }),
  define('replicas-allow-chaining', 'yes', 'yes,no', 'Configures if chaining of replicas is allowed.', { ...fixed }),
  define('reserved-memory', '0', SIZE, 'The amount of memory reserved for non-cache memory usage, in bytes.'),
  define('reserved-memory-percent', '25', '0-100', 'The percent of memory reserved for non-cache memory usage.'),
  define('set-max-intset-entries', '512', SIZE, 'The limit in the size of the set in order for the intset encoding.', {
    directive: 'set-max-intset-entries',
  }),
  define(
    'slowlog-log-slower-than',
    '10000',
    '-1-9223372036854775807',
    'The execution time, in microseconds, to exceed in order for the command to get logged.',
    {
      directive: 'slowlog-log-slower-than',
    },
  ),
  define('slowlog-max-len', '128', SIZE, 'The length of the slow log.', { directive: 'slowlog-max-len' }),
  define('tcp-keepalive', '300', SIZE, 'If non-zero, send ACKs every given number of seconds.', {
    directive: 'tcp-keepalive',
  }),
  define(
    'timeout',
    '0',
    '0,20-9223372036854775807',
    'Close connection if client is idle for a given number of seconds, or never if 0.',
    {
      directive: 'timeout',
    },
  ),
  define('zset-max-listpack-entries', '128', SIZE, 'The maximum number of sorted set entries in a listpack.', {
    directive: 'zset-max-listpack-entries',
  }),
];

/** Whether AWS would take this value for this parameter. */
export function allows(definition: ParameterDefinition, value: string): boolean {
  if (/[\r\n"\\]/.test(value)) return false;
  if (definition.type === 'integer' && !/^-?\d{1,19}$/.test(value)) return false;
  if (definition.allowed === '') return true;
  return definition.allowed.split(',').some((part) => {
    const range = /^(-?\d+)-(\d+)$/.exec(part);
    if (range === null) return part === value;
    const [, low = '0', high = '0'] = range;
    return /^-?\d+$/.test(value) && BigInt(value) >= BigInt(low) && BigInt(value) <= BigInt(high);
  });
}
