/** The file of `kind: redis-dual-write`, and who counts as an instance that follows: without a server. */
import { expect, test } from 'vitest';
import { judgeInstances, notAllThere, remedyFor } from '../activities/redis/dual-write/instances.ts';
import { encodeInstance, noControl, type DualControl, type DualInstance } from '../spec/dual-write.ts';
import { redisDualWrite } from '../spec/kind-redis-dual-write.ts';
import { redisDualWritePlan } from '../workflows/redis-dual-write-plan.ts';
import { dualInstance } from './stage/dual-instance.ts';

const FILE = { kind: 'redis-dual-write', id: 'm', source: { host: 'a' }, target: { host: 'b' } };

test.each([
  ['one server twice', { target: { host: 'a' } }, 'target'],
  ['a lease of fewer than four polls', { timing: { poll: '1s', lease: '3s' } }, 'timing.lease'],
  ['fewer rounds than have to be equal', { compare: { rounds: 3, maxRounds: 2 } }, 'compare.maxRounds'],
  ['no instance at all', { instances: { min: 0 } }, 'instances.min'],
  ['a bare number', { soak: 5 }, 'soak'],
])('refused: %s', (_what, more, path) => {
  const { error } = redisDualWrite.safeParse({ ...FILE, ...more });
  expect(error?.issues.map((issue) => issue.path.join('.'))).toEqual([path]);
});

test('the plan says what is lost by writing past the library, and from where there is no way back', () => {
  const plan = redisDualWritePlan(redisDualWrite.parse({ ...FILE, soak: '5s' }));
  expect(plan.steps.map(({ id }) => id)).toEqual([
    'preflight',
    'both',
    'backfill',
    'compare',
    'approve-reads',
    'cutover',
    'reads',
    'soak',
    'approve-source-off',
    'source-off',
    'report',
  ]);
  expect(plan.warnings.join(' ')).toMatch(/past it.*is lost/);
  expect(plan.steps.find(({ id }) => id === 'source-off')?.warning).toContain('no way back');
});

const NOW = 1_000_000;
const BOTH: DualControl = { ...noControl(), phase: 'both', epoch: 3 };
const HOLD: DualControl = { ...BOTH, phase: 'hold', epoch: 4, holdFrom: 'both', holdUntil: NOW + 1_000 };
const known = (name: string, more: Partial<DualInstance> = {}) => {
  const instance = dualInstance({ epoch: 3, at: NOW - 100, ...more });
  return { name, text: encodeInstance(instance), instance };
};

test('who follows, who is silent, and what the operator is told', () => {
  const migration = redisDualWrite.parse({ ...FILE, instances: { min: 2 } });
  const say = (instances: Parameters<typeof judgeInstances>[0], control = BOTH, now = NOW) =>
    notAllThere(migration.instances.min, judgeInstances(instances, control, now));
  expect(say([known('one'), known('two')])).toBeUndefined();
  expect(say([known('one')])).toBe('1 instances of the application are seen, 2 are expected');
  const silent = [known('one'), known('two'), known('three', { at: NOW - 9_000 })];
  expect(say(silent)).toBe('three (web-1, pid 7) is silent for 9 s');
  expect(remedyFor(migration, judgeInstances(silent, BOTH, NOW))).toContain(
    "redis-cli -h a -p 6379 HDEL 'cutover:{dual:m}:instances' three",
  );
  expect(say([known('one'), known('two', { epoch: 2, phase: 'source', pending: 4 })])).toBe(
    'two (web-1, pid 7) is still at source, epoch 2, 4 writes are under way',
  );
  expect(say([known('one'), known('two'), { name: 'old', text: '{}', instance: undefined }])).toMatch(/^old .*version/);
});

test('a hold that ran out is followed by being back where it came from', () => {
  const migration = redisDualWrite.parse(FILE);
  const back = [known('one', { epoch: 4 })];
  expect(notAllThere(migration.instances.min, judgeInstances(back, HOLD, NOW))).toMatch(/still at both/);
  const later = NOW + 1_000;
  const then = [known('one', { epoch: 4, at: later })];
  expect(notAllThere(migration.instances.min, judgeInstances(then, HOLD, later))).toBeUndefined();
});
