/** Files of `redis-offline`: what is refused, and what the plan says of them. Pure. */
import { expect, test } from 'vitest';
import { WrongFile } from '../client/errors.ts';
import { problemText } from '../client/file-problem.ts';
import { parseMigration } from '../client/migration-file.ts';
import { restoreShape } from '../activities/elasticache/restore-shape.ts';
import { restoreOf, type RedisOffline } from '../spec/kind-redis-offline.ts';
import { planOf } from '../workflows/plans.ts';

const GOOD = `kind: redis-offline
id: shop
source: { host: 10.0.0.5 }
s3: { bucket: migrations }
to: { replicationGroup: shop-new, nodeType: cache.r7g.large }
`;

const parse = (text: string) => parseMigration(text, 'm.yaml');

function problems(text: string): string {
  try {
    parse(text);
  } catch (error) {
    if (!(error instanceof WrongFile)) throw error;
    return error.problems.map(problemText).join('\n');
  }
  return '';
}

const to = (more: string) => GOOD.replace('nodeType: cache.r7g.large', `nodeType: cache.r7g.large, ${more}`);

test('a good file has none', () => expect(problems(GOOD)).toBe(''));

test.each([
  ['no node type', GOOD.replace(', nodeType: cache.r7g.large', ''), /to\.nodeType: missing/],
  ['no new group', GOOD.replace('replicationGroup: shop-new, ', ''), /to\.replicationGroup: missing/],
  [
    'shards without cluster mode',
    to('shards: 3, clusterMode: disabled'),
    /to\.shards: .*shards are what cluster mode is/,
  ],
  ['shards that lack a slot', to("shards: [{ slots: '0-16000' }]"), /to\.shards: .*383 are in no shard/],
  ['a token without TLS', to('authToken: { env: TOKEN }'), /to\.authToken: .*expected tls: true/],
  ['a token in the file', to('tls: true, authToken: hunter2'), /to\.authToken: (?!.*hunter2)/],
  [
    'a bucket as a URL',
    GOOD.replace('bucket: migrations', 'bucket: s3://migrations'),
    /s3\.bucket: .*name of a bucket/,
  ],
  ['a comma in the prefix', GOOD.replace('migrations }', "migrations, prefix: 'a,b' }"), /s3\.prefix: .*no comma/],
  ['an unknown way', `${GOOD}rdb: { from: { type: ftp } }\n`, /rdb\.from\.type: .*replication, path or ssm/],
  ['a gate for no fence', `${GOOD}fence: false\ncutover: { gate: manual }\n`, /cutover\.gate: .*fence: false/],
  ['a schedule', `${GOOD}schedule: { cron: '0 3 * * *' }\n`, /schedule: redis-offline has no schedule/],
])('%s is refused', (_what, text, message) => {
  expect(problems(text)).toMatch(message);
});

test('the plan says plainly what is lost without a fence, and what it costs with one', () => {
  const unfenced = planOf(parse(`${GOOD}fence: false\n`));
  expect(unfenced.warnings[0]).toContain('EVERY WRITE that 10.0.0.5:6379 takes after its RDB was begun IS LOST');
  expect(unfenced.steps.map(({ id }) => id)).not.toContain('fence');
  const fenced = planOf(parse(`${GOOD}rdb: { from: { type: path } }\ncutover: { gate: manual }\nsoak: 1m\n`));
  expect(fenced.warnings[0]).toContain('refuses every write from the fence until the application is on shop-new');
  expect(fenced.steps.map(({ id }) => id)).toEqual([
    'preflight',
    'approve-fence',
    'fence',
    'save',
    'upload',
    'grant',
    'create',
    'verify',
    'compare',
    'approve-switch',
    'switch',
    'report',
    'soak',
  ]);
});

test('shards are told in the plan, and asked of AWS', () => {
  const shape = (more: string) => {
    const file = parse(to(more)) as RedisOffline;
    const { clusterEnabled, shards } = restoreShape(restoreOf(file, 'arn:aws:s3:::b/k.rdb'), { s3: [] });
    return [clusterEnabled, ...shards.map(({ slots }) => slots)];
  };
  expect(shape('replicasPerShard: 1')).toEqual([false, undefined]);
  expect(shape('clusterMode: disabled, shards: 1')).toEqual([false, undefined]);
  expect(shape('clusterMode: enabled')).toEqual([true, '0-16383']);
  expect(shape('shards: 1')).toEqual([true, '0-16383']);
  expect(shape("shards: [{ slots: '0-99' }, { slots: '100-16383' }]")).toEqual([true, '0-99', '100-16383']);
  const { warnings, steps } = planOf(parse(to('shards: 3')));
  expect(warnings.join()).toContain('shop-new has shards');
  expect(steps.find(({ id }) => id === 'create')?.title).toContain('cluster mode, 3 shards of cache.r7g.large');
  expect(planOf(parse(GOOD)).warnings.join()).not.toContain('shards');
});
