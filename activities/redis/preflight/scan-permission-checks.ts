/** What our users run on either side, asked or tried without changing anything (facts/redis-aws 4.1, C rows). */
import { CannotCheck, pass, unmet, type Finding } from '../../preflight/check.ts';
import { OWNER } from '../copy/obstacles.ts';
import { redisCli } from './commands.ts';
import { userOf } from './context.ts';
import { refusedCommands, refusedWhenTried, ruleFor } from './permissions.ts';
import type { RedisProbe } from './probe.ts';
import type { ScanCheck, ScanContext, ScanNode } from './scan-context.ts';
import { everyPrimary } from './scan-nodes.ts';
import { atLeast } from './versions.ts';

/** A key that nobody has: what is tried on it changes nothing, and a user of a few keys is found out. */
const KEY = 'any:cutover:probe';

/** What the copy and the compare read. Where a server is too old for one of them, it has no such keys either. */
const READS = [
  ['INFO'],
  ['ROLE'],
  ['SCAN', '0', 'COUNT', '1'],
  ['TIME'],
  ['TYPE', KEY],
  ['DUMP', KEY],
  ['EXISTS', KEY],
  ['STRLEN', KEY],
  ['GETRANGE', KEY, '0', '0'],
  ['LLEN', KEY],
  ['LRANGE', KEY, '0', '0'],
  ['HLEN', KEY],
  ['HSCAN', KEY, '0'],
  ['HGETALL', KEY],
  ['SCARD', KEY],
  ['SSCAN', KEY, '0'],
  ['SMEMBERS', KEY],
  ['ZCARD', KEY],
  ['ZSCAN', KEY, '0'],
  ['ZRANGE', KEY, '0', '0'],
  ['XLEN', KEY],
  ['XRANGE', KEY, '-', '+'],
  ['XINFO', 'STREAM', KEY],
  ['XPENDING', KEY, 'group'],
];

/** Without it sizes are judged by lengths, and a large key of many small members is taken for larger than it is. */
const SIZES = [['MEMORY', 'USAGE', KEY]];
const CONNECTIONS = [
  ['CLIENT', 'LIST'],
  ['CLIENT', 'KILL', 'ID', '0'],
];

export const permissionChecks: readonly ScanCheck[] = [
  everyPrimary('source', {
    id: 'C7',
    title: 'our user may read every key of the source',
    severity: 'fail',
    remedy: (probe) => grant(probe, ['+@read', '+scan', '+dump', '+info', '+role', '+time', '~*']),
    byHand: (probe) => dryRun(probe, ['DUMP', KEY]),
    run: async ({ probe }) => {
      const expiry = atLeast(await probe.version(), 7) ? 'PEXPIRETIME' : 'PTTL';
      const refused = await refusedWhenTried(probe, [...READS, [expiry, KEY]]);
      if (refused.length > 0) return mayNot(probe, refused, ['~*']);
      const sizes = await refusedWhenTried(probe, SIZES);
      if (sizes.length === 0) return pass(`the user ${userOf(probe.endpoint)} may read keys of every type`);
      const finding = mayNot(probe, sizes, ['~*']);
      return { ...finding, result: 'warn', found: `${finding.found}: sizes of keys are judged by their lengths` };
    },
  }),
  everyPrimary('target', {
    id: 'C7.target',
    title: 'our user may read every key of the target, for compare',
    severity: 'warn',
    remedy: (probe) => grant(probe, ['+@read', '~*']),
    byHand: (probe) => dryRun(probe, ['DUMP', KEY]),
    run: async ({ probe }) => {
      const refused = await refusedWhenTried(probe, READS);
      return refused.length > 0 ? mayNot(probe, refused, ['~*']) : pass(`the user ${userOf(probe.endpoint)} may`);
    },
  }),
  everyPrimary('target', {
    id: 'C8',
    title: 'our user may write every key of the target',
    severity: 'fail',
    remedy: (probe) => grant(probe, ['+@write', '~*']),
    byHand: (probe) => dryRun(probe, ['RESTORE', KEY, '0', 'x', 'REPLACE']),
    run: checkWrites,
  }),
  everyPrimary('target', {
    id: 'C8.end',
    title: 'our user may see and end connections to the target: that the copy has ended is proven by it',
    severity: 'fail',
    remedy: (probe) => grant(probe, ['+client|list', '+client|kill']),
    byHand: ({ endpoint }) => redisCli(endpoint, 'CLIENT', 'LIST'),
    run: async ({ probe }) => {
      const refused = await refusedWhenTried(probe, CONNECTIONS);
      return refused.length > 0
        ? mayNot(probe, refused)
        : pass(`the user ${userOf(probe.endpoint)} may CLIENT LIST and CLIENT KILL`);
    },
  }),
];

/** Only asked, not tried: these would leave a key behind. */
async function checkWrites({ probe }: ScanNode, c: ScanContext): Promise<Finding> {
  const user = userOf(probe.endpoint);
  const refused = await refusedCommands(probe, user, writesOf(c)).catch((error: unknown) => {
    if (error instanceof CannotCheck) return whenTried(probe, error);
    throw error;
  });
  return refused.length > 0
    ? mayNot(probe, refused, ['~*'])
    : pass(
        `the user ${user} may restore, rebuild and delete keys${c.migration.abort.removePartialData ? ', and FLUSHALL' : ''}`,
      );
}

/** Where ACL is refused: what does nothing to a key that is not there tells of a refusal, never of a permission for the rest. */
async function whenTried(probe: RedisProbe, asked: CannotCheck): Promise<string[]> {
  const refused = await refusedWhenTried(probe, [
    ['UNLINK', KEY],
    ['PERSIST', KEY],
    ['PEXPIRE', KEY, '1'],
    ['RESTORE', KEY, '0', 'no payload'],
    ['SETRANGE', KEY, '0', ''],
    ['ZADD', KEY, 'XX', '1', 'm'],
  ]);
  if (refused.length === 0) throw asked;
  return refused;
}

function writesOf({ migration }: ScanContext): string[][] {
  const own = `${OWNER}:probe`;
  return [
    ['RESTORE', KEY, '0', 'x', 'REPLACE'],
    ['UNLINK', KEY],
    ['SET', KEY, 'v'],
    ['SETRANGE', KEY, '0', 'v'],
    ['RPUSH', KEY, 'v'],
    ['HSET', KEY, 'f', 'v'],
    ['SADD', KEY, 'm'],
    ['ZADD', KEY, '1', 'm'],
    ['XADD', KEY, '1-1', 'f', 'v'],
    ['XDEL', KEY, '1-1'],
    ['XSETID', KEY, '1-1'],
    ['XGROUP', 'CREATE', KEY, 'g', '0'],
    ['XGROUP', 'DESTROY', KEY, 'g'],
    ['XCLAIM', KEY, 'g', 'c', '0', '1-1'],
    ['RENAME', KEY, own],
    ['PEXPIRE', KEY, '1'],
    ['PERSIST', KEY],
    ['MULTI'],
    ['EXEC'],
    ['GET', own],
    ['DEL', own],
    ['HGET', own, 'f'],
    ['BLPOP', own, '1'],
    ...(migration.abort.removePartialData ? [['FLUSHALL']] : []),
  ];
}

function mayNot(probe: RedisProbe, refused: string[], more: string[] = []): Finding {
  const user = userOf(probe.endpoint);
  return unmet(
    `on the ${probe.side}, the user ${user} may not ${refused.join(', ')}`,
    grant(probe, [...refused.map(ruleFor), ...more]),
  );
}

const grant = ({ endpoint }: RedisProbe, rules: string[]) =>
  redisCli(endpoint, 'ACL', 'SETUSER', userOf(endpoint), ...rules);

const dryRun = ({ endpoint }: RedisProbe, command: string[]) =>
  `as an administrator: ${redisCli(endpoint, 'ACL', 'DRYRUN', userOf(endpoint), ...command)}`;
