/** Two real servers with a dual write between them, the phase set as the workflow sets it. */
import type { Redis } from 'ioredis';
import { DualWriteRedis } from '../../client/dual-write/index.ts';
import type { DualWriteOptions } from '../../client/dual-write/index.ts';
import type { RedisServer } from '../../sandbox/runtime/redis.ts';
import {
  CHANGE_PHASE_SCRIPT,
  DUAL_DEFAULTS,
  acknowledges,
  changeArguments,
  decodeControl,
  decodeInstance,
  dualKeys,
  noControl,
} from '../../spec/dual-write.ts';
import type { DualControl, DualInstance, DualPhase } from '../../spec/dual-write.ts';
import { stage, until } from '../stage/redis-copy.ts';

export interface Play {
  source: RedisServer;
  target: RedisServer;
  s: Redis;
  t: Redis;
  id: string;
  /** A client of the library, closed by the play's end. */
  dual(more?: Partial<DualWriteOptions>): DualWriteRedis;
  control(): Promise<DualControl>;
  /** By the script, from what stands. Returns its outcome: set, epoch, late or early. */
  change(phase: DualPhase, more?: Partial<DualControl>): Promise<string>;
  /** As `change`, then waits until every instance has acknowledged. */
  phase(phase: DualPhase, more?: Partial<DualControl>): Promise<void>;
  instances(): Promise<Record<string, DualInstance>>;
  acknowledged(): Promise<void>;
  /** Names in the journal of the side. */
  touched(side?: 'source' | 'target', db?: number): Promise<string[]>;
  /** Both empty, every client of the library closed, and another id. */
  reset(): Promise<void>;
  stop(): Promise<void>;
}

/** Quick polls, and a write timeout that a busy machine keeps. */
export const QUICK = { ...DUAL_DEFAULTS, pollMs: 20 };

export async function play(): Promise<Play> {
  const servers = stage();
  const [source, target] = await Promise.all([servers.server('source'), servers.server('target')]);
  const [s, t] = [source.connect(), target.connect()];
  const clients: DualWriteRedis[] = [];
  let count = 0;
  const own: Play = {
    source,
    target,
    s,
    t,
    id: 'm0',
    dual: (more = {}) => {
      const at = ({ host, port }: RedisServer) => ({ host, port });
      const client = new DualWriteRedis({ id: own.id, source: at(source), target: at(target), ...more });
      clients.push(client);
      return client;
    },
    control: async () => decodeControl(await s.hgetall(dualKeys(own.id).phase)) ?? noControl(),
    change: async (phase, more = {}) => {
      const from = await own.control();
      const reads = phase === 'source' || phase === 'both' ? 'source' : 'target';
      const { keys, args } = changeArguments(own.id, from, { ...QUICK, phase, reads, ...more });
      const [outcome] = (await s.eval(CHANGE_PHASE_SCRIPT, 1, ...keys, ...args)) as [string];
      return outcome;
    },
    phase: async (phase, more = {}) => {
      const outcome = await own.change(phase, more);
      if (outcome !== 'set') throw new Error(`the phase ${phase} was not set: ${outcome}`);
      await own.acknowledged();
    },
    instances: async () => {
      const all = await s.hgetall(dualKeys(own.id).instances);
      return Object.fromEntries(Object.entries(all).map(([name, text]) => [name, decodeInstance(text)!]));
    },
    acknowledged: async () => {
      const control = await own.control();
      await until('every instance has acknowledged', async () =>
        Object.values(await own.instances()).every((one) => acknowledges(one, control)),
      );
    },
    touched: async (side = 'source', db = 0) => {
      const redis = (side === 'source' ? source : target).connect({ db });
      const names = await redis.zrange(dualKeys(own.id).touched, '0', '-1');
      redis.disconnect();
      return names.sort();
    },
    reset: async () => {
      await Promise.all(clients.splice(0).map((client) => client.close()));
      await Promise.all([s.flushall(), t.flushall()]);
      own.id = `m${(count += 1)}`;
    },
    stop: async () => {
      await Promise.all(clients.map((client) => client.close()));
      await servers.stop();
    },
  };
  return own;
}

/** A hold by the source's own clock. */
export async function hold(
  play: Play,
  forMs: number,
  from: 'both' | 'target-first' = 'both',
): Promise<Partial<DualControl>> {
  const [seconds, micros] = await play.s.time();
  const now = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
  return { holdFrom: from, holdUntil: now + forMs };
}
