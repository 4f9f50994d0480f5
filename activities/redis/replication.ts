/** Where a replication stands, from INFO on both sides. "In sync" is computed, never read from a status (facts/redis-aws 4.2). */
import type { Redis } from 'ioredis';
import type { SyncReading } from '../../spec/redis-sync.ts';

/** INFO as a map; a section's comment lines are dropped. */
export function parseInfo(text: string): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) fields[line.slice(0, colon)] = line.slice(colon + 1);
  }
  return fields;
}

export interface Replica {
  ip: string;
  port: number;
  state: string;
  offset: number;
  lagSeconds: number;
}

export interface SourceState {
  role: string;
  replid: string;
  offset: number;
  replicas: Replica[];
}

export interface TargetState {
  role: string;
  linkUp: boolean;
  masterHost: string;
  masterPort: number;
  replid: string;
  offset: number;
  syncing: boolean;
  /** Bytes of the RDB read so far while syncing. */
  readBytes: number;
  /** -1 where the size is not known (diskless, or still saving). */
  totalBytes: number;
}

export async function readSource(redis: Redis): Promise<SourceState> {
  const info = parseInfo(await redis.info('replication'));
  const replicas = Object.entries(info)
    .filter(([key]) => /^slave\d+$/.test(key))
    .map(([, value]) => {
      const part = Object.fromEntries(value.split(',').map((pair) => pair.split('=') as [string, string]));
      return {
        ip: part['ip'] ?? '',
        port: Number(part['port']),
        state: part['state'] ?? '',
        offset: Number(part['offset']),
        lagSeconds: Number(part['lag'] ?? -1),
      };
    });
  return {
    role: info['role'] ?? '',
    replid: info['master_replid'] ?? '',
    offset: Number(info['master_repl_offset'] ?? 0),
    replicas,
  };
}

export async function readTarget(redis: Redis): Promise<TargetState> {
  const info = parseInfo(await redis.info('replication'));
  return {
    role: info['role'] ?? '',
    linkUp: info['master_link_status'] === 'up',
    masterHost: info['master_host'] ?? '',
    masterPort: Number(info['master_port'] ?? 0),
    replid: info['master_replid'] ?? '',
    // The offset of a replica that is syncing is a stale number of an earlier life (facts 4.2 b): read it with linkUp.
    offset: Number(info['slave_repl_offset'] ?? info['master_repl_offset'] ?? 0),
    syncing: info['master_sync_in_progress'] === '1',
    readBytes: Number(info['master_sync_read_bytes'] ?? 0),
    totalBytes: Number(info['master_sync_total_bytes'] ?? -1),
  };
}

/**
 * Where the copy stands. Online means: the target's link is up, the source says `online` of a replica, and both have the
 * same replication id; one side alone can say so too early (facts 4.2 a).
 */
export function judgeSync(source: SourceState, target: TargetState): SyncReading {
  const bytes = { readBytes: target.readBytes, totalBytes: target.totalBytes };
  if (target.role !== 'slave') return { phase: 'detached', ...bytes };
  const online = source.replicas.filter((replica) => replica.state === 'online');
  if (target.linkUp && target.replid === source.replid && online.length > 0) {
    const nearest = Math.max(...online.map((replica) => replica.lagSeconds));
    return {
      phase: 'online',
      lagBytes: Math.max(0, source.offset - target.offset),
      lagSeconds: Math.max(0, nearest),
      ...bytes,
    };
  }
  if (target.syncing && target.readBytes > 0) return { phase: 'copying', ...bytes };
  if (source.replicas.some((replica) => replica.state === 'wait_bgsave')) return { phase: 'saving', ...bytes };
  if (source.replicas.some((replica) => replica.state === 'send_bulk')) return { phase: 'copying', ...bytes };
  return { phase: 'attaching', ...bytes };
}
