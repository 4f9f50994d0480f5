/** Whose the target is, who writes to it, and whether it can be the primary (facts/redis-aws 4.1 T9; C9). */
import { CannotCheck, fail, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { OWNER } from '../copy/obstacles.ts';
import { isOwn } from '../follow/desk.ts';
import { strangersOf, type ConnectedClient } from './clients.ts';
import { redisCli } from './commands.ts';
import { checkTakesWrites } from './either-target-checks.ts';
import { keysByDatabase, listOf, type RedisProbe } from './probe.ts';
import type { ScanCheck, ScanContext, ScanNode } from './scan-context.ts';
import { everyPrimary } from './scan-nodes.ts';
import { setCommand } from './scan-settings.ts';
import { keepsData, takesClients } from './target-checks.ts';

export const scanTargetChecks: readonly ScanCheck[] = [
  everyPrimary('target', {
    id: 'T9',
    title: 'the target is empty, or the file says that its keys may go',
    severity: 'fail',
    remedy: ({ endpoint }) => redisCli(endpoint, 'FLUSHALL'),
    byHand: ({ endpoint }) => `${redisCli(endpoint, 'INFO', 'keyspace')}  # nothing`,
    run: checkEmpty,
  }),
  {
    id: 'T9.owner',
    title: 'no other migration fills the target',
    severity: 'fail',
    cheap: true,
    remedy: () => 'end that migration, or choose another target',
    byHand: (c) => `${redisCli(c.target.entry.endpoint, 'GET', OWNER)}  # nil, or begins with ${c.migration.id}`,
    run: checkOwner,
  },
  everyPrimary('target', {
    id: 'T13',
    title: 'nobody else writes to the target',
    severity: 'fail',
    cheap: true,
    remedy: ({ endpoint }) => redisCli(endpoint, 'CLIENT', 'LIST'),
    byHand: ({ endpoint }) => redisCli(endpoint, 'CLIENT', 'LIST'),
    run: checkStrangers,
  }),
  everyPrimary('target', {
    id: 'C9',
    title: 'the target takes writes, as min-replicas-to-write is set',
    severity: 'fail',
    cheap: true,
    remedy: ({ endpoint }) => redisCli(endpoint, 'CONFIG', 'SET', 'min-replicas-to-write', '0'),
    byHand: ({ endpoint }) =>
      `${redisCli(endpoint, 'CONFIG', 'GET', 'min-replicas-to-write')}  # no more than its replicas`,
    run: async ({ probe }, c) => {
      const found = await checkTakesWrites(probe, await probe.setting('min-replicas-to-write'));
      if (found.result !== 'unmet') return found;
      return { ...found, remedy: await setCommand(c, probe, 'min-replicas-to-write', '0') };
    },
  }),
  ...[keepsData, takesClients].map((check): ScanCheck => {
    const both = (c: ScanContext) => ({ source: c.source.entry, target: c.target.entry });
    return {
      ...check,
      remedy: (c) => check.remedy(both(c)),
      byHand: (c) => check.byHand(both(c)),
      run: (c) => check.run(both(c)),
    };
  }),
];

async function checkEmpty({ probe }: ScanNode, c: ScanContext): Promise<Finding> {
  const keys = [...keysByDatabase(await probe.info())];
  if (keys.length === 0) return pass('empty');
  const named = `${probe.where} has ${keys.map(([db, count]) => `${count} keys in db${db}`).join(', ')}`;
  if (isOwn(await ownerOf(c), c.migration.id)) return pass(`${named}, by an earlier attempt of this migration`);
  return c.migration.allowNonEmptyTarget
    ? warn(`${named}: what the source lacks is deleted, as the file allows`)
    : unmet(`${named}: they would be deleted; allowNonEmptyTarget: true in the file says that this is meant`);
}

async function ownerOf(c: ScanContext): Promise<string | null> {
  const { probe } = await c.target.nodeOf(OWNER);
  const owner = await probe.call('GET', OWNER);
  return typeof owner === 'string' ? owner : null;
}

async function checkOwner(c: ScanContext): Promise<Finding> {
  const owner = await ownerOf(c);
  const { id } = c.migration;
  if (isOwn(owner, id)) return pass('this migration fills it');
  if (owner === null) {
    return c.moment === 'before-attach'
      ? pass('nobody fills it')
      : fail(
          `the key ${OWNER} is gone from the target: whether it still is this migration's is not known`,
          'abort, and start again',
        );
  }
  const { probe } = await c.target.nodeOf(OWNER);
  return unmet(
    `the target is being filled by the migration ${owner.split(' ')[0]}`,
    `end that one; if it is gone for good: ${redisCli(probe.endpoint, 'DEL', OWNER)}`,
  );
}

/** Whoever is there may be an onlooker; one whose last command was a write is not. */
async function checkStrangers({ probe }: ScanNode): Promise<Finding> {
  const others = await strangersOf(probe);
  if (others.length === 0) return pass('no connections but ours');
  const named = (clients: ConnectedClient[]) =>
    clients
      .slice(0, 3)
      .map(({ addr, name, cmd }) => `${addr}${name ? ` (${name})` : ''}, last command ${cmd}`)
      .join('; ');
  const writing = await writesAmong(probe, others);
  const end = (clients: ConnectedClient[]) =>
    clients.map(({ addr }) => redisCli(probe.endpoint, 'CLIENT', 'KILL', 'ADDR', addr)).join('; ');
  return writing.length > 0
    ? unmet(`${writing.length} others write to the target: ${named(writing)}`, `stop them, then: ${end(writing)}`)
    : warn(
        `${others.length} connections of others: ${named(others)}`,
        `see who they are: ${redisCli(probe.endpoint, 'CLIENT', 'LIST')}`,
      );
}

async function writesAmong(probe: RedisProbe, clients: ConnectedClient[]): Promise<ConnectedClient[]> {
  const names = [...new Set(clients.map(({ cmd }) => cmd.split('|')[0] ?? ''))].filter((name) =>
    /^[a-z]+$/i.test(name),
  );
  if (names.length === 0) return [];
  const answers = listOf(await probe.callAgain('COMMAND', 'INFO', ...names));
  const writes = names.filter((_, i) => {
    const about = answers[i];
    if (about === null || about === undefined) return false;
    const flags = listOf(about)[2];
    if (!Array.isArray(flags)) throw new CannotCheck(`COMMAND INFO of ${probe.where} has no flags`);
    return flags.some((flag) => String(flag) === 'write');
  });
  return clients.filter(({ cmd }) => writes.includes(cmd.split('|')[0] ?? ''));
}
