/** Whether the source's output buffer for a replica holds what is written while the copy is made (facts/redis-aws 4.1 S10, 4.3). Pure. */

/** `client-output-buffer-limit` for replicas: bytes, bytes, seconds; 0 is no limit. */
export interface BufferLimit {
  hard: number;
  soft: number;
  softSeconds: number;
}

/** From CONFIG GET: `normal 0 0 0 slave 268435456 67108864 60 pubsub …`; `slave` is `replica` in newer servers. */
export function replicaBufferLimit(setting: string): BufferLimit | undefined {
  const words = setting.trim().split(/\s+/);
  const at = words.findIndex((word) => word === 'slave' || word === 'replica');
  const [hard, soft, softSeconds] = words.slice(at + 1, at + 4).map(Number);
  if (at === -1 || hard === undefined || soft === undefined || softSeconds === undefined) return undefined;
  return { hard, soft, softSeconds };
}

/**
 * Bytes per second of memory that BGSAVE writes, the network carries and a replica loads: what a plain machine does, on
 * the careful side, because an estimate that is too short ends in a copy that restarts for ever.
 */
const BYTES_PER_SECOND = 100 * 1024 * 1024;
/** Connecting, forking and the handshake take that long with an empty source as well. */
const SHORTEST_SECONDS = 2;

/**
 * How long a full sync will take, in seconds: save, send and load, one after the other over disk; without disk, saving
 * and sending are one. During all of it the buffer only grows.
 */
export function fullSyncSeconds(source: { usedMemory: number; lastSaveSeconds: number; diskless: boolean }): number {
  const pass = source.usedMemory / BYTES_PER_SECOND;
  const save = Math.max(pass, source.lastSaveSeconds);
  return Math.max(SHORTEST_SECONDS, source.diskless ? save + pass : save + 2 * pass);
}

export interface BufferVerdict {
  /** Bytes that pile up until the copy is loaded. */
  piledUp: number;
  /** Why the server will cut the replica off; undefined where it won't. */
  cutOff?: string;
  /** The use of the tighter limit, 1 and above is a cut. */
  use: number;
}

/**
 * What the server does at this rate: at the hard limit it cuts at once, above the soft one after its seconds.
 * @param backlog From 7.0 a hard limit below the backlog's size counts as that size; pass 0 for older servers.
 */
export function judgeBuffer(limit: BufferLimit, bytesPerSecond: number, seconds: number, backlog = 0): BufferVerdict {
  const piledUp = bytesPerSecond * seconds;
  const hard = limit.hard === 0 ? Infinity : Math.max(limit.hard, backlog);
  const soft = limit.soft === 0 ? Infinity : Math.max(limit.soft, backlog);
  const hardUse = piledUp / hard;
  const secondsAboveSoft = bytesPerSecond === 0 ? 0 : seconds - soft / bytesPerSecond;
  const softUse = piledUp > soft && limit.softSeconds > 0 ? secondsAboveSoft / limit.softSeconds : 0;
  const use = Math.max(hardUse, softUse);
  if (hardUse >= 1) return { piledUp, use, cutOff: `the hard limit is ${hard} bytes` };
  if (softUse >= 1) {
    return {
      piledUp,
      use,
      cutOff: `it would be above the soft limit of ${soft} bytes for more than ${limit.softSeconds} s`,
    };
  }
  return { piledUp, use };
}
