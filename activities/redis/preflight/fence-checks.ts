/** What the cutover itself needs: the fence can be raised and lifted, and means what it says (facts/redis-aws 4.5). */
import type { Redis } from 'ioredis';
import { FENCE_KEY, isFenceValue, readFenceRecord, readFenceSettings, type FenceSettings } from '../fence-record.ts';
import { CannotCheck, fail, pass, unmet, warn, type Check, type Finding } from '../../preflight/check.ts';
import { othersScripts, refusesScripts, SCRIPTS_REMEDY, whyOthers } from '../fence-scripts.ts';
import { clientsOf } from './clients.ts';
import { redisCli } from './commands.ts';
import { followsOurSource, userOf, type RedisOnlineCheck, type RedisOnlineContext } from './context.ts';
import { refusalsOf, refusedCommands, ruleFor, type Refusals } from './permissions.ts';
import { infoNumber, type RedisProbe } from './probe.ts';

/** What a fence is raised on: one primary. */
export interface FenceContext extends Pick<RedisOnlineContext, 'moment' | 'source'> {
  migration: { id: string };
  /** Of a cluster there is one record, on the node that has its slot: where to read it, if not here. */
  recordOn?: RedisProbe;
}

const cli = ({ source }: FenceContext, ...command: string[]) => redisCli(source.endpoint, ...command);

/** Everything activities/redis/fence.ts sends to the source. */
const FENCING = [
  ['CONFIG', 'GET', 'min-replicas-to-write'],
  ['CONFIG', 'SET', 'min-replicas-to-write', '0'],
  ['GET', FENCE_KEY],
  ['SET', FENCE_KEY, '{}'],
  ['DEL', FENCE_KEY, `${FENCE_KEY}:probe`],
  ['INFO'],
];

const RIGHTS = '+config|get +config|set +get +set +del +info ~cutover:*'.split(' ');

/** Of each primary by itself, C1 to C5 and C10. */
export const primaryFenceChecks: readonly Check<FenceContext>[] = [
  {
    id: 'C1',
    title: 'our user may raise and lift the fence',
    severity: 'fail',
    cheap: true,
    remedy: (c) => cli(c, 'ACL', 'SETUSER', userOf(c.source.endpoint), ...RIGHTS),
    byHand: (c) =>
      `${cli(c, 'CONFIG', 'GET', 'min-replicas-to-write')}  # and, as an administrator: ACL GETUSER ${userOf(c.source.endpoint)}`,
    run: checkFencePermission,
  },
  {
    id: 'C2',
    title: 'min-replicas-max-lag is not 0, which would switch the fence off',
    severity: 'warn',
    cheap: true,
    remedy: (c) => cli(c, 'CONFIG', 'SET', 'min-replicas-max-lag', '10'),
    byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'min-replicas-max-lag')}  # above 0`,
    run: async (c) => {
      const { maxLag, maxLagName } = await fenceSettings(c);
      return maxLag > 0
        ? pass(`${maxLagName} ${maxLag}`)
        : unmet(`${maxLagName} 0; the fence sets it to 10 while it is up`, cli(c, 'CONFIG', 'SET', maxLagName, '10'));
    },
  },
  {
    id: 'C3',
    title: 'the source takes writes now, as min-replicas-to-write is set',
    severity: 'fail',
    cheap: true,
    remedy: (c) =>
      `cutover unfence <the file of the migration that raised it>, or: ${cli(c, 'CONFIG', 'SET', 'min-replicas-to-write', '0')}`,
    byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'min-replicas-to-write')}  # no more than connected_slaves`,
    run: async (c) => {
      const { toWrite, toWriteName } = await fenceSettings(c);
      if (toWrite === 0) return pass(`${toWriteName} 0`);
      const info = await c.source.info();
      if (isFenceValue(toWrite)) return fenceIsUp(c, toWriteName, toWrite);
      // Good ones only: those that answered within min-replicas-max-lag are what the server counts.
      const good = infoNumber(info, 'min_slaves_good_slaves' in info ? 'min_slaves_good_slaves' : 'connected_slaves');
      return good < toWrite
        ? unmet(
            `${toWriteName} ${toWrite}, with ${good} good replicas: the source refuses every write`,
            cli(c, 'CONFIG', 'SET', toWriteName, '0'),
          )
        : pass(`${toWriteName} ${toWrite}, with ${good} good replicas; put back after the fence`);
    },
  },
  {
    id: 'C4',
    title: 'no other migration left its fence record on the source',
    severity: 'fail',
    cheap: true,
    remedy: () => 'cutover unfence <the file of the migration that raised it>',
    byHand: (c) => `${cli(c, 'GET', FENCE_KEY)}  # nil, or this migration`,
    run: checkFenceRecord,
  },
  {
    id: 'C5',
    title: 'our user may see and end connections',
    severity: 'warn',
    remedy: (c) => cli(c, 'ACL', 'SETUSER', userOf(c.source.endpoint), '+client|list', '+client|kill'),
    byHand: (c) => cli(c, 'CLIENT', 'LIST'),
    run: async (c) => {
      const commands = [
        ['CLIENT', 'LIST'],
        ['CLIENT', 'KILL', 'TYPE', 'normal'],
      ];
      const user = userOf(c.source.endpoint);
      const refused = await refusedCommands(c.source, user, commands);
      return refused.length === 0
        ? pass(`the user ${user} may CLIENT LIST and CLIENT KILL`)
        : unmet(
            `the user ${user} may not ${refused.join(', ')}`,
            cli(c, 'ACL', 'SETUSER', user, ...refused.map(ruleFor)),
          );
    },
  },
  {
    id: 'C10',
    title: 'the fence holds scripts, too',
    severity: 'fail',
    cheap: true,
    remedy: () => SCRIPTS_REMEDY,
    byHand: (c) => `${cli(c, 'INFO', 'memory')}  # number_of_cached_scripts:0`,
    run: checkScripts,
  },
];

export const fenceChecks: readonly RedisOnlineCheck[] = [
  ...primaryFenceChecks,
  {
    id: 'C6',
    title: 'nothing else depends on the source: replicas, Sentinel',
    severity: 'warn',
    remedy: (c) =>
      `see who they are: ${cli(c, 'INFO', 'replication')}; an application that reads from a replica must be switched as well`,
    byHand: (c) => `${cli(c, 'INFO', 'replication')}  # connected_slaves; Sentinel: ${cli(c, 'CLIENT', 'LIST')}`,
    run: async (c) => checkDependants(c.source, await followsOurSource(c).catch(() => false)),
  },
  {
    id: 'C7',
    title: 'our users may read every key, for compare',
    severity: 'warn',
    remedy: (c) => cli(c, 'ACL', 'SETUSER', userOf(c.source.endpoint), '+@read', '~*'),
    byHand: (c) => `${cli(c, 'SCAN', '0')}  # and a DUMP of a key, on both sides`,
    run: async (c) => {
      if (c.migration.compare.mode === 'off') return pass('compare is off in the file');
      // On ElastiCache there are no users (T8), so nobody is refused there, and ACL itself may be blocked.
      const probes = c.migration.engine === 'elasticache' ? [c.source] : [c.source, c.target];
      for (const probe of probes) {
        const user = userOf(probe.endpoint);
        const refused = await refusedCommands(probe, user, [
          ['SCAN', '0'],
          ['TYPE', 'any'],
          ['PTTL', 'any'],
          ['DUMP', 'any'],
        ]);
        if (refused.length > 0) {
          const rules = refused.map(ruleFor);
          const found = `on the ${probe.side}, the user ${user} may not ${refused.join(', ')}`;
          return unmet(found, redisCli(probe.endpoint, 'ACL', 'SETUSER', user, ...rules, '~*'));
        }
      }
      return pass('SCAN, TYPE, PTTL and DUMP are allowed');
    },
  },
];

async function checkScripts(c: FenceContext): Promise<Finding> {
  const version = await c.source.version();
  if (refusesScripts(version)) return pass(`${version.text} refuses the writes of scripts as well`);
  const others = await connected(c)
    .then(othersScripts)
    .catch((error: Error) => {
      throw new CannotCheck(`the scripts of ${c.source.where}: ${error.message}`);
    });
  if (others === 0) return pass(`${version.text} would let scripts write, but has seen none of the application's`);
  // Where it can't be told, too: raising the fence refuses it then, and the operator is to know before.
  const { why, remedy } = whyOthers(others);
  const found = `${version.text} lets scripts write in spite of the fence, and ${why}`;
  // Until the fence the application may go on with them: what it needs is that they are stopped by then.
  return c.moment === 'before-fence'
    ? unmet(found, remedy)
    : warn(`${found}; the cutover refuses until they are stopped`, remedy);
}

async function fenceIsUp(c: FenceContext, name: string, value: number): Promise<Finding> {
  const found = `${name} ${value}: a fence is up, the source refuses every write`;
  const record = await readFenceRecord(await recordHolder(c)).catch(() => undefined);
  // Right before the fence it can be this cutover's own, of an attempt that died: the next takes it over.
  if (record?.migration === c.migration.id && c.moment === 'before-fence')
    return warn(`${found}; it is this migration's own`);
  return unmet(found);
}

async function fenceSettings(c: FenceContext): Promise<FenceSettings> {
  const settings = await (await connected(c)).config('GET', 'min-*').then(
    async () => readFenceSettings(await connected(c)),
    (error: Error) => {
      throw new CannotCheck(`CONFIG GET on ${c.source.where}: ${error.message}`);
    },
  );
  if (Number.isNaN(settings.toWrite))
    throw new CannotCheck('the source has no min-replicas-to-write: too old to be fenced');
  return settings;
}

async function recordHolder(c: FenceContext): Promise<Redis> {
  return c.recordOn ? connected({ ...c, source: c.recordOn }) : connected(c);
}

async function connected(c: FenceContext): Promise<Redis> {
  await c.source.info();
  return c.source.connection();
}

async function checkFencePermission(c: FenceContext): Promise<Finding> {
  const user = userOf(c.source.endpoint);
  await c.source.info();
  // That CONFIG is refused is itself the answer: without it there is no fence.
  const read = await c.source.setting('min-replicas-to-write').then(
    () => undefined,
    (error: Error) => error.message,
  );
  const grant = ({ commands, keys }: Refusals) =>
    cli(c, 'ACL', 'SETUSER', user, ...commands.map(ruleFor), ...(keys ? ['~cutover:*'] : []));
  if (read !== undefined && /NOPERM|unknown command/i.test(read)) {
    const refused = await refusalsOf(c.source, user, FENCING).catch(() => undefined);
    return unmet(`the fence needs CONFIG: ${read}`, refused?.commands.length ? grant(refused) : undefined);
  }
  if (read !== undefined) throw new CannotCheck(read);
  const refused = await refusalsOf(c.source, user, FENCING);
  return refused.commands.length === 0
    ? pass(`the user ${user} may CONFIG GET and SET, and write ${FENCE_KEY}`)
    : unmet(`the user ${user} may not ${refused.commands.join(', ')}`, grant(refused));
}

async function checkFenceRecord(c: FenceContext): Promise<Finding> {
  const found = await readFenceRecord(await recordHolder(c)).then(
    (record) => ({ record }),
    (error: Error) => ({ error }),
  );
  if ('error' in found) {
    if (found.error.message.startsWith('NOPERM')) throw new CannotCheck(`GET ${FENCE_KEY}: ${found.error.message}`);
    return fail(
      `the key ${FENCE_KEY} in db0 holds something that is no record of a fence`,
      `look at it, and if it is nobody's: ${cli(c, 'DEL', FENCE_KEY)}`,
    );
  }
  const { record } = found;
  if (!record) return pass(`${FENCE_KEY} does not exist`);
  return record.migration === c.migration.id
    ? pass(`a record of this migration, since ${record.at}: taken over`)
    : unmet(`a record of the migration ${record.migration}, since ${record.at}`);
}

/** @param adopted whether one of its replicas is our target. @throws CannotCheck where CLIENT LIST is not allowed */
export async function checkDependants(source: RedisProbe, adopted: boolean): Promise<Finding> {
  const [info, clients] = await Promise.all([source.info(), clientsOf(source)]);
  const sentinels = clients.filter(({ name }) => name.startsWith('sentinel-'));
  if (sentinels.length > 0) {
    return warn(
      `${sentinels.length} connections of Sentinel: a failover would move the primary away from the fence`,
      'for the time of the migration, on each Sentinel: redis-cli -p 26379 SENTINEL REMOVE <master-name>',
    );
  }
  const others = infoNumber(info, 'connected_slaves') - (adopted ? 1 : 0);
  if (others <= 0) return pass('no replicas but the target, no Sentinel');
  const addresses = Object.entries(info).flatMap(([field, value]) =>
    /^slave\d+$/.test(field) ? [value.replace(/^ip=([^,]*),port=(\d+).*$/, '$1:$2')] : [],
  );
  return unmet(
    `${others} replicas besides the target, of ${addresses.join(', ')}: they don't lift the fence, and stay with the old data after the switch`,
  );
}
