/** Every primary of both sides: reachable, loaded, a primary, of a cluster that is well, and none on both sides. */
import { CannotCheck, fail, pass, unmet, type Finding } from '../../preflight/check.ts';
import { refuseOpenSlots } from '../copy/topology.ts';
import { CopyError } from '../copy/types.ts';
import { redisCli } from './commands.ts';
import { reachable } from './reachable.ts';
import { checkPrimary } from './source-access-checks.ts';
import { rowOf, topologyBy, type ScanCheck, type ScanContext, type ScanSide } from './scan-context.ts';
import { everyPrimary, overNodes } from './scan-nodes.ts';

const SIDES = ['source', 'target'] as const;

export const reachChecks: readonly ScanCheck[] = [
  ...SIDES.flatMap((side) => sideChecks(side)),
  {
    id: 'T12',
    title: 'the target is not the source itself',
    severity: 'fail',
    remedy: () => "set target.host and target.port in the file to the new server's",
    byHand: (c) => `${redisCli(c.target.entry.endpoint, 'INFO', 'server')}  # another run_id than the source's`,
    run: checkTwoSides,
  },
];

function sideChecks(side: ScanSide['side']): ScanCheck[] {
  return [
    {
      id: rowOf(side, '0'),
      title: `every primary of the ${side} can be reached with the credentials in the file`,
      severity: 'fail',
      cheap: true,
      remedy: (c) => `look from the worker: ${redisCli(c[side].entry.endpoint, 'PING')}`,
      byHand: (c) => redisCli(c[side].entry.endpoint, 'PING'),
      run: (c) => checkReachable(c[side]),
    },
    {
      id: rowOf(side, '.cluster'),
      title: `of a cluster, the ${side} serves all slots, and none is moving`,
      severity: 'fail',
      cheap: true,
      remedy: (c) => redisCli(c[side].entry.endpoint, 'CLUSTER', 'INFO'),
      byHand: (c) => `${redisCli(c[side].entry.endpoint, 'CLUSTER', 'INFO')}  # cluster_state:ok`,
      run: (c) => checkCluster(c[side]),
    },
    everyPrimary(side, {
      id: rowOf(side, side === 'source' ? '0.loaded' : '1'),
      title: `the ${side} is up, not loading`,
      severity: 'fail',
      cheap: true,
      remedy: ({ endpoint }) => `wait until it has loaded: ${redisCli(endpoint, 'INFO', 'persistence')}`,
      byHand: ({ endpoint }) => `${redisCli(endpoint, 'INFO', 'persistence')}  # loading:0`,
      run: async ({ probe }) => {
        const { loading } = await probe.info();
        if (loading === undefined) throw new CannotCheck('INFO has no loading');
        return loading === '0' ? pass('loading:0') : unmet(`loading:${loading}`);
      },
    }),
    everyPrimary(side, {
      id: rowOf(side, '11'),
      title: `the ${side} is a primary`,
      severity: 'fail',
      cheap: true,
      remedy: ({ endpoint }) =>
        side === 'target'
          ? redisCli(endpoint, 'REPLICAOF', 'NO', 'ONE')
          : "set source.host and source.port in the file to the primary's: the fence must go there",
      byHand: ({ endpoint }) => `${redisCli(endpoint, 'ROLE')}  # master`,
      run: async ({ probe }) => {
        if (side === 'source') return checkPrimary(probe);
        const { role, master_host, master_port } = await probe.info();
        if (role === undefined) throw new CannotCheck('INFO has no role');
        return role === 'master'
          ? pass('role: master')
          : unmet(`the target ${probe.where} is a replica of ${master_host}:${master_port}: it takes no writes`);
      },
    }),
  ];
}

/** The named server first: while it is away, no other is known. */
async function checkReachable(side: ScanSide): Promise<Finding> {
  const entry = await reachable(side.entry);
  if (entry.result !== 'pass') return entry;
  const look = (where: { endpoint: Parameters<typeof redisCli>[0] }) => redisCli(where.endpoint, 'PING');
  try {
    return await overNodes(
      side,
      'fail',
      async ({ probe }) => {
        const found = await reachable(probe);
        return found.result === 'fail' && !found.remedy ? { ...found, remedy: look(probe) } : found;
      },
      ({ probe }) => look(probe),
    );
  } catch (error) {
    // That the cluster is not well is another check's to say.
    if (error instanceof CannotCheck) return entry;
    throw error;
  }
}

async function checkCluster(side: ScanSide): Promise<Finding> {
  try {
    const topology = await side.topology();
    if (!topology.cluster) return pass('cluster mode is off');
    const nodes = await side.nodes();
    for (const { probe } of nodes) {
      const seen = await topologyBy(probe);
      refuseOpenSlots(String(await probe.call('CLUSTER', 'NODES')), side.side);
      if (seen.signature !== topology.signature) {
        return fail(
          `${side.entry.where} and ${probe.where} don't agree on who has which slots: a failover or a resharding is under way`,
          redisCli(probe.endpoint, 'CLUSTER', 'NODES'),
        );
      }
    }
    return pass(`all slots are served by ${nodes.length} primaries, and all of them agree`);
  } catch (error) {
    if (!(error instanceof CopyError)) throw error;
    return fail(error.message.replace(/^copy: /, ''), error.remedy);
  }
}

async function checkTwoSides(c: ScanContext): Promise<Finding> {
  const runIds = async (side: ScanSide) =>
    Promise.all(
      (await side.nodes()).map(async ({ probe }) => {
        const { run_id: runId } = await probe.info();
        if (!runId) throw new CannotCheck(`INFO of ${probe.where} has no run_id`);
        return { runId, where: probe.where };
      }),
    );
  const [source, target] = await Promise.all([runIds(c.source), runIds(c.target)]);
  const both = target.find(({ runId }) => source.some((one) => one.runId === runId));
  return both ? unmet(`${both.where} is a server of the source as well: run_id ${both.runId}`) : pass('run_ids differ');
}
