import type { EngineName } from './state.ts';

/**
 * Commands that ElastiCache takes away from everybody. They are renamed to something nobody can guess, so a client gets
 * ElastiCache's own answer, `ERR unknown command`, and the sandbox can still administer its nodes.
 */
const RENAMED = [
  'config',
  'debug',
  'save',
  'bgsave',
  'bgrewriteaof',
  'replicaof',
  'slaveof',
  'shutdown',
  'migrate',
  'module',
] as const;
export type RenamedCommand = (typeof RENAMED)[number];

/**
 * These cannot be renamed: the nodes themselves send PSYNC to each other under that name, and the others are subcommands of
 * allowed commands. The default user loses them by ACL and gets NOPERM.
 */
const DENIED_BEFORE_7 = ['-psync', '-sync', '-acl'];
const DENIED = [
  '-psync',
  '-sync',
  '-failover',
  ...['setuser', 'deluser', 'load', 'save'].map((sub) => `-acl|${sub}`),
  ...[
    'addslots',
    'addslotsrange',
    'bumpepoch',
    'delslots',
    'delslotsrange',
    'failover',
    'flushslots',
    'forget',
    'meet',
    'replicate',
    'reset',
    'saveconfig',
    'set-config-epoch',
    'setslot',
  ].map((sub) => `-cluster|${sub}`),
];

/** The user under which the sandbox administers nodes, and nodes replicate from each other. */
export const ADMIN_USER = 'sandbox-admin';

/** Where a node replicates from when it starts. `own`: another node of ours, which asks for the admin's password. */
export interface Upstream {
  host: string;
  port: number;
  own: boolean;
}

export interface NodeConfig {
  dir: string;
  port: number;
  engine: EngineName;
  /** Major version of the server program. */
  major: number;
  cluster?: { busPort: number };
  upstream?: Upstream;
  authToken?: string | undefined;
  maxMemoryBytes: number;
  /** redis.conf directives that come from the parameter group. */
  directives: Record<string, string>;
  adminPassword: string;
  /** Hard to guess; the renamed commands start with it. */
  renamePrefix: string;
}

/** The secret name of a renamed command. */
export function renamed(prefix: string, command: RenamedCommand): string {
  return `${prefix}${command}`;
}

/** The node's redis.conf. It holds the admin's password: keep it at mode 0600. */
export function nodeConf(config: NodeConfig): string {
  const modern = config.major >= 7;
  const lines = [
    `port ${config.port}`,
    'bind 127.0.0.1',
    'protected-mode no',
    'daemonize no',
    `dir ${quote(config.dir)}`,
    'dbfilename dump.rdb',
    // Never reached by itself, but with a save point the server writes its RDB on SIGTERM: a restarted sandbox has its data.
    'save 31536000 2147483647',
    'repl-diskless-sync yes',
    'repl-diskless-sync-delay 0',
    `maxmemory ${config.maxMemoryBytes}`,
    // Else a primary waits up to 10 s on SIGTERM for replicas that are gone already.
    ...(modern ? ['shutdown-timeout 1'] : []),
    ...Object.entries(config.directives).map(([name, value]) => `${name} ${value}`),
    ...RENAMED.map((command) => `rename-command ${command} ${renamed(config.renamePrefix, command)}`),
    `user default on ${config.authToken === undefined ? 'nopass' : quote(`>${config.authToken}`)} ~* ${modern ? '&* ' : ''}+@all ${(modern ? DENIED : DENIED_BEFORE_7).join(' ')}`,
    `user ${ADMIN_USER} on >${config.adminPassword} ~* ${modern ? '&* ' : ''}+@all`,
  ];
  if (config.cluster !== undefined) {
    lines.push('cluster-enabled yes', 'cluster-config-file nodes.conf', 'cluster-node-timeout 5000');
    lines.push(
      `cluster-port ${config.cluster.busPort}`,
      `masteruser ${ADMIN_USER}`,
      `masterauth ${config.adminPassword}`,
    );
  }
  if (config.upstream !== undefined) {
    // In the file, so that there is no moment after a start in which a replica takes writes.
    lines.push(`replicaof ${config.upstream.host} ${config.upstream.port}`);
    if (config.upstream.own) lines.push(`masteruser ${ADMIN_USER}`, `masterauth ${config.adminPassword}`);
  }
  return `${lines.join('\n')}\n`;
}

function quote(value: string): string {
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
