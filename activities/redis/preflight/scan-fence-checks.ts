/** The fence of every primary of the source: the checks of a single server, asked of each (facts/redis-aws 4.5). */
import { FENCE_KEY } from '../fence-record.ts';
import { redisCli } from './commands.ts';
import { checkDependants, primaryFenceChecks, type FenceContext } from './fence-checks.ts';
import type { RedisProbe } from './probe.ts';
import type { ScanCheck, ScanContext } from './scan-context.ts';
import { everyPrimary } from './scan-nodes.ts';

const fenceOf = (source: RedisProbe, { migration, moment }: ScanContext): FenceContext => ({
  source,
  migration,
  moment,
});

/** C1 to C5 and C10 of each primary; its record (C4) is on one of them, and whichever asks for it is told the same. */
const eachPrimary: readonly ScanCheck[] = primaryFenceChecks.map((check) =>
  everyPrimary('source', {
    ...check,
    remedy: (probe, c) => check.remedy(fenceOf(probe, c)),
    byHand: (probe, c) => check.byHand(fenceOf(probe, c)),
    run: async ({ probe }, c) => {
      const holder = await c.source.nodeOf(FENCE_KEY);
      return check.run({ ...fenceOf(probe, c), recordOn: holder.probe });
    },
  }),
);

export const scanFenceChecks: readonly ScanCheck[] = [
  ...eachPrimary,
  everyPrimary('source', {
    id: 'C6',
    title: 'nothing else depends on the source: replicas, Sentinel',
    severity: 'warn',
    remedy: ({ endpoint }) =>
      `see who they are: ${redisCli(endpoint, 'INFO', 'replication')}; an application that reads from a replica must be switched as well`,
    byHand: ({ endpoint }) =>
      `${redisCli(endpoint, 'INFO', 'replication')}  # connected_slaves; Sentinel: ${redisCli(endpoint, 'CLIENT', 'LIST')}`,
    run: ({ probe }) => checkDependants(probe, false),
  }),
];
