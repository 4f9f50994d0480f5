/** Servers that keep somebody out, lack commands, or are of another sort: found, and never taken for a pass. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { preflightRedisOnline } from '../activities/redis/preflight/preflight.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import { freePort } from '../sandbox/runtime/ports.ts';
import type { CheckReport } from '../spec/preflight.ts';
import { freshFolder, migrationOf, notPassed, server, stopServers, type FileParts } from './preflight-redis-servers.ts';

const SECRETS = { right: 'right-horse-battery', wrong: 'wrong-horse-battery' };

let source: RedisServer;
let target: RedisServer;

beforeAll(async () => {
  process.env['PREFLIGHT_RIGHT'] = SECRETS.right;
  process.env['PREFLIGHT_WRONG'] = SECRETS.wrong;
  [source, target] = await Promise.all([server(), server()]);
  const s = source.connect();
  await s.set('greeting', 'hello');
  await s.bgsave();
}, 120_000);

afterAll(stopServers, 60_000);

const right = { env: 'PREFLIGHT_RIGHT' };
const wrong = { env: 'PREFLIGHT_WRONG' };
const cli = (one: RedisServer, user?: string) =>
  `redis-cli -h ${one.host} -p ${one.port}${user ? ` --user ${user}` : ''} --askpass`;

describe('credentials', () => {
  let locked: RedisServer;
  beforeAll(async () => {
    locked = await server({ password: SECRETS.right });
    await locked.connect().bgsave();
  }, 60_000);

  /** One clear fail, and everything that depends on it unknown. */
  async function keptOut(over: FileParts): Promise<CheckReport> {
    const { checks } = await preflightRedisOnline({ migration: migrationOf({ source: locked, target }, over) });
    expect(JSON.stringify(checks)).not.toMatch(new RegExp(`${SECRETS.right}|${SECRETS.wrong}`));
    expect(checks.filter(({ result }) => result === 'fail').map(({ id }) => id)).toEqual(['S0']);
    const dependent = checks.filter(({ id }) => /^(S|C[1-6])/.test(id) && id !== 'S0');
    expect(dependent.length).toBeGreaterThan(25);
    expect(dependent.filter(({ result }) => result !== 'unknown')).toEqual([]);
    for (const { remedy } of dependent) expect(remedy).toBeTruthy();
    return checks.find(({ id }) => id === 'S0')!;
  }

  test('a wrong password', async () => {
    const report = await keptOut({ source: { password: wrong } });
    expect(report.found).toMatch(/^Redis at 127\.0\.0\.1:\d+ refused us: WRONGPASS/);
    expect(report.remedy).toContain(`look from the worker: ${cli(locked)} PING`);
  }, 60_000);

  test('no password', async () => {
    expect((await keptOut({})).found).toMatch(/^Redis at 127\.0\.0\.1:\d+ refused us: NOAUTH/);
  }, 60_000);

  test('a user that does not exist', async () => {
    const report = await keptOut({ source: { username: 'nobody', password: right } });
    expect(report.found).toMatch(/refused us: WRONGPASS/);
    expect(report.remedy).toContain(`${cli(locked, 'nobody')} PING`);
  }, 60_000);

  test('a secret that is not there', async () => {
    const report = await keptOut({ source: { password: { env: 'PREFLIGHT_NOT_SET' } } });
    expect(report.found).toContain('PREFLIGHT_NOT_SET');
  }, 60_000);

  test('a source that is not there', async () => {
    const report = await keptOut({ source: { host: '127.0.0.1', port: await freePort() } });
    expect(report.found).toMatch(/^Redis at 127\.0\.0\.1:\d+ can't be reached: .*ECONNREFUSED/);
    expect(report.remedy).toMatch(
      /^is it up, and may the worker connect to 127\.0\.0\.1:\d+\?; look from the worker: redis-cli/,
    );
  }, 60_000);

  test('a target that is not there leaves the source judged', async () => {
    const port = await freePort();
    const { checks } = await preflightRedisOnline({ migration: migrationOf({ source, target }, { target: { port } }) });
    const by = (result: string) => checks.filter((check) => check.result === result).map(({ id }) => id);
    expect(by('fail')).toEqual(['T0']);
    expect(by('pass')).toEqual(expect.arrayContaining(['S0', 'S4', 'S9.bgsave', 'S10', 'S11', 'C1', 'C3', 'C4']));
    expect(by('pass').filter((id) => id.startsWith('T'))).toEqual([]);
  }, 60_000);

  test('the right password is a pass: the target is given it', async () => {
    const migration = migrationOf({ source: locked, target }, { source: { password: right } });
    expect(await notPassed(migration)).toEqual({});
    const { checks } = await preflightRedisOnline({ migration });
    expect(checks.find(({ id }) => id === 'S3')!.found).toBe(
      'AUTH is on; the target is given the same user and password (masterauth)',
    );
    expect(JSON.stringify(checks)).not.toContain(SECRETS.right);
  }, 60_000);
});

describe('users of an ACL', () => {
  async function asUser(one: 'source' | 'target', name: string, rules: string[]): Promise<Record<string, CheckReport>> {
    const admin = (one === 'source' ? source : target).connect({ connectionName: 'cutover-test' });
    await admin.call('ACL', 'SETUSER', name, 'reset', 'on', `>${SECRETS.right}`, ...rules);
    try {
      return await notPassed(migrationOf({ source, target }, { [one]: { username: name, password: right } }));
    } finally {
      await admin.call('ACL', 'DELUSER', name);
      admin.disconnect();
    }
  }

  test('who may do nothing but INFO gets unknowns, and no pass for what was not seen', async () => {
    const reports = await asUser('source', 'looker', ['+ping', '+info', '+client|setname']);
    // That CONFIG is refused is what C1 asks; it is the one certain thing.
    expect(reports['C1']).toMatchObject({
      result: 'fail',
      found: expect.stringMatching(/^the fence needs CONFIG: .*NOPERM/),
    });
    const blind =
      'S3.replication S7 S7.writes S8 S9.disk S10 S10.backlog S10.timeout S12.modules S12.big-keys T15 C2 C3 C4 C5 C6 C7'.split(
        ' ',
      );
    expect(Object.keys(reports).sort()).toEqual(['C1', 'S4', 'S5', ...blind].sort());
    for (const id of ['S4', 'S5', ...blind]) {
      expect(reports[id]).toMatchObject({ id, result: 'unknown', found: expect.stringContaining('NOPERM') });
    }
    expect(reports['S4']!.remedy).toBe(`${cli(source, 'looker')} CONFIG GET protected-mode  # no`);
    expect(reports['S10.timeout']!.remedy).toBe(
      `${cli(source, 'looker')} CONFIG GET repl-timeout  # 60, above repl-ping-replica-period`,
    );
  }, 60_000);

  test.each([
    ['C1', ['-config|set'], 'the user app may not CONFIG SET', '+config|set'],
    ['C1', ['resetkeys', '~app:*'], 'the user app may not GET, SET, DEL', '+get +set +del ~cutover:*'],
    ['C5', ['-client|kill'], 'the user app may not CLIENT KILL', '+client|kill'],
    ['C7', ['-dump'], 'on the source, the user app may not DUMP', '+dump ~*'],
    ['S3.replication', ['-psync'], 'the user app may not PSYNC', '+psync'],
  ])(
    '%s: a user of the source without %j',
    async (id, rules, found, granted) => {
      const reports = await asUser('source', 'app', ['+@all', '~*', '&*', ...rules]);
      expect(reports[id]).toMatchObject({ result: id === 'C5' || id === 'C7' ? 'warn' : 'fail', found });
      const words = granted.split(' ').map((word) => (/[|~*]/.test(word) ? `'${word}'` : word));
      expect(reports[id]!.remedy).toBe(`${cli(source, 'app')} ACL SETUSER app ${words.join(' ')}`);
    },
    60_000,
  );

  test('C8: a user of the target who may not promote it', async () => {
    const { C8: report, ...rest } = await asUser('target', 'app', ['+@all', '~*', '&*', '-replicaof']);
    expect(Object.keys(rest)).toEqual([]);
    expect(report).toMatchObject({ result: 'fail', found: 'the user app may not REPLICAOF' });
    expect(report!.remedy).toBe(`${cli(target, 'app')} ACL SETUSER app +replicaof`);
  }, 60_000);

  test('C8: who may not ask the ACL gets unknown', async () => {
    const { C8: report } = await asUser('target', 'app', ['+@all', '~*', '&*', '-acl']);
    expect(report).toMatchObject({ result: 'unknown', found: expect.stringContaining('NOPERM') });
  }, 60_000);
});

describe('servers of another sort', () => {
  test('renamed commands', async () => {
    const renamed = await server({ config: { 'rename-command': ['PSYNC ""', 'SET WRITE', 'CONFIG ADMIN'] } });
    const reports = await notPassed(migrationOf({ source: renamed, target }));
    expect(reports['S7']).toMatchObject({
      result: 'fail',
      found: 'renamed or disabled on the source: psync, config',
      remedy: 'remove their rename-command lines from redis.conf on the source, and restart it',
    });
    expect(reports['S7.writes']).toMatchObject({ result: 'warn', found: 'renamed or disabled on the source: set' });
    expect(reports['C1']).toMatchObject({ result: 'fail', found: expect.stringMatching(/unknown command/) });
    expect(reports['S4']).toMatchObject({ result: 'unknown' });
    expect(Object.values(reports).filter(({ result }) => result === 'pass')).toEqual([]);
    await renamed.stop();
  }, 60_000);

  test('a target whose REPLICAOF is disabled', async () => {
    const renamed = await server({ config: { 'rename-command': 'REPLICAOF ""' } });
    const reports = await notPassed(migrationOf({ source, target: renamed }));
    expect(reports).toMatchObject({
      C8: { result: 'fail', found: 'REPLICAOF is renamed or disabled on the target' },
    });
    expect(Object.keys(reports)).toEqual(['C8']);
    await renamed.stop();
  }, 60_000);

  test('cluster mode, on either side', async () => {
    const cluster = await server({ config: { 'cluster-enabled': 'yes' } });
    const asSource = await notPassed(migrationOf({ source: cluster, target }));
    expect(asSource['S11.cluster']).toMatchObject({
      result: 'fail',
      found: 'cluster_enabled:1: the source is one shard of a cluster',
    });
    const asTarget = await notPassed(migrationOf({ source, target: cluster }));
    expect(asTarget['T6']).toMatchObject({ result: 'fail', found: 'cluster_enabled:1' });
    await cluster.stop();
  }, 60_000);

  test('Redis to Valkey is fine, Valkey 9 to Redis 7 is not', async () => {
    const valkey = await server({ flavour: 'valkey', config: { 'cluster-enabled': 'no' } });
    expect(valkey.flavour).toBe('valkey');
    expect(await notPassed(migrationOf({ source, target: valkey }))).toEqual({});
    await valkey.connect().bgsave();
    const back = await notPassed(migrationOf({ source: valkey, target }));
    expect(back['S2']).toMatchObject({ result: 'fail', found: "Redis can't follow Valkey 8 or later" });
    await valkey.stop();
  }, 120_000);
});

const openssl = (() => {
  try {
    return execFileSync('openssl', ['version'], { encoding: 'utf8' }).startsWith('OpenSSL');
  } catch {
    return false;
  }
})();

describe.skipIf(!openssl)('TLS (needs the program openssl)', () => {
  let secure: RedisServer;
  let secureTarget: RedisServer;
  let tlsPort: number;
  let ca: string;

  beforeAll(async () => {
    const dir = freshFolder();
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const request =
      'req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1';
    execFileSync('openssl', [...request.split(' '), '-keyout', key, '-out', cert], { stdio: 'ignore' });
    ca = cert;
    const tls = {
      'tls-cert-file': cert,
      'tls-key-file': key,
      'tls-ca-cert-file': cert,
      'tls-auth-clients': 'no',
    };
    tlsPort = await freePort();
    secure = await server({ config: { ...tls, 'tls-port': String(tlsPort) } });
    secureTarget = await server({ config: tls });
    await secure.connect().bgsave();
  }, 60_000);

  const overTls = () => ({ port: tlsPort, tls: { ca } });

  test('a source by TLS, and a target that can', async () => {
    expect(await notPassed(migrationOf({ source: secure, target: secureTarget }, { source: overTls() }))).toEqual({});
  }, 60_000);

  test('S6: a target with tls-replication on, of a source without', async () => {
    const t = secureTarget.connect({ connectionName: 'cutover-test' });
    await t.config('SET', 'tls-replication', 'yes');
    const { S6: report, ...rest } = await notPassed(migrationOf({ source, target: secureTarget }));
    await t.config('SET', 'tls-replication', 'no');
    expect(Object.keys(rest)).toEqual([]);
    expect(report).toMatchObject({
      result: 'fail',
      found: `port ${source.port} is without TLS, and the target has tls-replication yes`,
      remedy: `redis-cli -h 127.0.0.1 -p ${secureTarget.port} CONFIG SET tls-replication no`,
    });
  }, 60_000);

  test('S6: the target is sent to the port without TLS, and told to use it', async () => {
    const replicationAddress = { host: secure.host, port: secure.port };
    const reports = await notPassed(
      migrationOf({ source: secure, target: secureTarget }, { source: { ...overTls(), replicationAddress } }),
    );
    expect(reports['S6']).toMatchObject({
      result: 'fail',
      found: `port ${secure.port} is without TLS, and the target replicates with TLS`,
    });
  }, 60_000);

  test('S0: the TLS port without tls in the file', async () => {
    const reports = await notPassed(
      migrationOf({ source: secure, target: secureTarget }, { source: { port: tlsPort } }),
    );
    expect(reports['S0']).toMatchObject({ result: 'fail' });
  }, 60_000);
});
