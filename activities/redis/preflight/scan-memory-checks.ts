/** Room on the target, and whether a side throws keys away by itself (facts/redis-aws 4.1 T5, S12). */
import prettyBytes from 'pretty-bytes';
import { CannotCheck, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { SLOTS } from '../copy/slots.ts';
import { redisCli } from './commands.ts';
import { ROOM } from './either-target-checks.ts';
import { infoNumber, type RedisProbe } from './probe.ts';
import type { ScanCheck, ScanContext, ScanNode } from './scan-context.ts';
import { everyPrimary } from './scan-nodes.ts';
import { setCommand } from './scan-settings.ts';

const bytes = (n: number) => prettyBytes(n, { binary: true, maximumFractionDigits: 1 });

/** Above this use of its limit, a target is near to refusing writes. */
const NEARLY_FULL = 0.9;

export const memoryChecks: readonly ScanCheck[] = [
  {
    id: 'T5',
    title: "the source's data fits into the target",
    severity: 'fail',
    remedy: (c) => redisCli(c.target.entry.endpoint, 'CONFIG', 'SET', 'maxmemory', '<more>'),
    byHand: (c) =>
      `${redisCli(c.target.entry.endpoint, 'INFO', 'memory')}  # maxmemory of all primaries above the source's used_memory x ${ROOM}`,
    run: checkRoom,
  },
  everyPrimary('target', {
    id: 'T5.now',
    title: 'the target has memory left at this moment',
    severity: 'fail',
    cheap: true,
    remedy: ({ endpoint }) => redisCli(endpoint, 'CONFIG', 'SET', 'maxmemory', '<more>'),
    byHand: ({ endpoint }) => `${redisCli(endpoint, 'INFO', 'memory')}  # used_memory below maxmemory`,
    run: async ({ probe }, c) => {
      const info = await probe.info();
      const [used, limit] = [infoNumber(info, 'used_memory'), infoNumber(info, 'maxmemory')];
      if (limit === 0) return pass(`${bytes(used)} used, no maxmemory`);
      const found = `${bytes(used)} of maxmemory ${bytes(limit)} used`;
      if (used < limit * NEARLY_FULL) return pass(found);
      const more = await setCommand(c, probe, 'maxmemory', `${Math.ceil((used * 1.25) / 1_048_576)}mb`);
      return used < limit ? warn(found, more) : unmet(`${found}: it refuses writes, or evicts`, more);
    },
  }),
  everyPrimary('source', {
    id: 'S12.eviction',
    title: 'the source does not evict keys by itself',
    severity: 'warn',
    remedy: ({ endpoint }) => redisCli(endpoint, 'CONFIG', 'SET', 'maxmemory-policy', 'noeviction'),
    byHand: ({ endpoint }) => redisCli(endpoint, 'CONFIG', 'GET', 'maxmemory*'),
    run: async ({ probe }) => {
      const { policy, limit, text } = await evictionOf(probe);
      return policy.startsWith('allkeys') && limit > 0
        ? unmet(`${text}: it may evict any key, the record of our fence (cutover:fence) as well`)
        : pass(text);
    },
  }),
  everyPrimary('target', {
    id: 'T.eviction',
    title: 'the target keeps what is copied',
    severity: 'fail',
    remedy: ({ endpoint }) => redisCli(endpoint, 'CONFIG', 'SET', 'maxmemory-policy', 'noeviction'),
    byHand: ({ endpoint }) => redisCli(endpoint, 'CONFIG', 'GET', 'maxmemory*'),
    run: checkTargetEviction,
  }),
];

/** A target that evicts is right for a cache, which the source then is too; of anything else it loses keys in silence. */
async function checkTargetEviction({ probe }: ScanNode, c: ScanContext): Promise<Finding> {
  const [target, source] = await Promise.all([evictionOf(probe), evictionOf(c.source.entry)]);
  if (target.policy === source.policy && !target.policy.startsWith('allkeys'))
    return pass(`${target.text}, as the source`);
  if (target.policy === 'noeviction') return pass(target.text);
  const mend = await setCommand(c, probe, 'maxmemory-policy', 'noeviction');
  const found = `${target.text}; the source: ${source.policy}`;
  if (!target.policy.startsWith('allkeys')) return warn(`${found}: keys with an expiry may go before their time`, mend);
  if (source.policy.startsWith('allkeys')) {
    return warn(`${found}: a cache; where it is full, what it evicts shows as a difference in compare`, mend);
  }
  return target.limit === 0
    ? warn(`${found}: harmless as long as it has no maxmemory`, mend)
    : unmet(`${found}: once it is full it throws away what the source keeps`, mend);
}

async function evictionOf(probe: RedisProbe): Promise<{ policy: string; limit: number; text: string }> {
  const info = await probe.info();
  const policy = info['maxmemory_policy'] ?? (await probe.setting('maxmemory-policy'));
  if (policy === undefined) throw new CannotCheck(`${probe.where} does not say its maxmemory-policy`);
  const limit = infoNumber(info, 'maxmemory');
  return { policy, limit, text: limit > 0 ? `${policy} at ${bytes(limit)}` : `${policy}, no maxmemory` };
}

/** All nodes together; and each of a cluster, as if the data were spread evenly over the slots, which it need not be. */
async function checkRoom(c: ScanContext): Promise<Finding> {
  const [sources, targets] = await Promise.all([c.source.nodes(), c.target.nodes()]);
  const used = await Promise.all(sources.map(async ({ probe }) => infoNumber(await probe.info(), 'used_memory')));
  const needed = used.reduce((sum, one) => sum + one, 0) * ROOM;
  const rooms = await Promise.all(targets.map(async (node) => ({ node, ...(await roomOf(node, targets)) })));
  const room = rooms.reduce((sum, one) => sum + one.room, 0);
  const limits = rooms.map(({ text }) => text).join(', ');
  const found = `${bytes(needed)} needed (the source's ${bytes(needed / ROOM)} and a tenth); the target: ${limits}`;
  const more = async (nodes: ScanNode[]) => {
    const value = (node: ScanNode) => `${Math.ceil((needed * 1.25 * shareOf(node)) / 1_048_576)}mb`;
    return (await Promise.all(nodes.map((node) => setCommand(c, node.probe, 'maxmemory', value(node))))).join('; ');
  };
  if (room <= needed) return unmet(found, await more(targets));
  const tight = rooms.filter((one) => one.room <= needed * shareOf(one.node)).map(({ node }) => node);
  if (tight.length === 0) return pass(found);
  const named = tight.map(({ probe }) => probe.where).join(', ');
  return warn(`${found}; too little on ${named}, were the data spread evenly over the slots`, await more(tight));
}

const shareOf = ({ slots }: ScanNode): number => slots.reduce((sum, [from, to]) => sum + to - from + 1, 0) / SLOTS;

/** Unset is "all there is"; nodes on one machine share it. */
async function roomOf({ probe }: ScanNode, all: readonly ScanNode[]): Promise<{ room: number; text: string }> {
  const info = await probe.info();
  const limit = infoNumber(info, 'maxmemory');
  if (limit > 0) return { room: limit, text: `maxmemory ${bytes(limit)}` };
  const total = infoNumber(info, 'total_system_memory');
  if (total === 0) throw new CannotCheck(`${probe.where} does not say how much memory it has`);
  const sharing = all.filter((one) => one.at.host === probe.endpoint.host).length;
  const room = total / Math.max(1, sharing);
  return { room, text: `no maxmemory, ${bytes(room)} of its machine` };
}
