/** `kind: redis-dual-write`: the application writes both servers; the migration fills the other one up and moves the authority. */
import { z } from 'zod';
import { gate } from './gate.ts';
import { migrationBase } from './migration-base.ts';
import { redisCopy } from './redis-copy.ts';
import { duration, redisEndpoint } from './values.ts';

const instances = z.strictObject({
  min: z.int().min(1).max(10_000).default(1).describe('so many instances of the application must be seen, all living'),
  ackTimeout: duration({ min: '1s', max: '1h' })
    .prefault('60s')
    .describe('how long each of them may take to follow a new phase before the migration asks you'),
  goneAfter: duration({ min: '10s' })
    .optional()
    .describe('silent for so long: taken for gone, and its connections are ended. Default: you are asked'),
});

const timing = z
  .strictObject({
    poll: duration({ min: '50ms', max: '10s' }).prefault('250ms').describe('how often an instance reads the phase'),
    lease: duration({ min: '500ms', max: '1m' })
      .prefault('3s')
      .describe('an instance that could not read the phase for so long refuses to read and write'),
    writeTimeout: duration({ min: '200ms', max: '1m' })
      .prefault('2s')
      .describe('a write that is not answered within it is an error to the application'),
  })
  .refine(({ poll, lease }) => lease >= 4 * poll, { error: 'expected at least four polls', path: ['lease'] });

const backfill = redisCopy.pick({
  workers: true,
  scanCount: true,
  maxKeysPerSecond: true,
  maxBytesPerSecond: true,
  maxLatency: true,
  bigKeyBytes: true,
  olderTarget: true,
});

const compare = z.strictObject({
  rounds: z.int().min(1).max(100).default(2).describe('that many in a row must find no difference'),
  maxRounds: z.int().min(1).max(1000).default(20).describe('after that many the migration asks you'),
  maxKeysPerSecond: z.int().min(1).optional().describe('spares a busy source'),
});

const cutover = z.strictObject({
  gate: gate.default('manual'),
  budgets: z
    .strictObject({
      hold: duration({ min: '500ms', max: '10m' }).prefault('3s').describe('until every instance holds its writes'),
      drain: duration({ min: '500ms', max: '10m' })
        .prefault('4s')
        .describe('until the target has what was touched last'),
    })
    .prefault({})
    .describe(
      'how long writes may wait before the cutover is undone by itself; the library’s maxHoldMs has to be more',
    ),
});

export const redisDualWrite = z
  .strictObject({
    ...migrationBase,
    kind: z.literal('redis-dual-write'),
    source: redisEndpoint,
    target: redisEndpoint,
    instances: instances.prefault({}),
    timing: timing.prefault({}).describe('given to the instances with the phase'),
    allowNonEmptyTarget: z
      .boolean()
      .default(false)
      .describe('keys that the target has and the source lacks are deleted; true says that this is meant'),
    backfill: backfill.prefault({}),
    compare: compare.prefault({}),
    maxBacklog: z
      .int()
      .min(0)
      .default(1000)
      .describe('touched keys, not yet known to be equal, with which a gate may still be passed'),
    cutover: cutover.prefault({}),
    soak: duration().prefault('0s').describe('how long the target is read from before the source may be let go'),
    sourceOff: z.strictObject({ gate: gate.default('manual') }).prefault({}),
    abort: z
      .strictObject({
        removePartialData: z
          .boolean()
          .default(false)
          .describe('FLUSHALL on the target after an abort, if it was empty before'),
      })
      .prefault({}),
  })
  .refine(({ source, target }) => source.host !== target.host || source.port !== target.port, {
    error: 'expected another server than the source',
    path: ['target'],
  })
  .refine(({ compare: { rounds, maxRounds } }) => maxRounds >= rounds, {
    error: 'expected at least `rounds`',
    path: ['compare', 'maxRounds'],
  });
export type RedisDualWrite = z.output<typeof redisDualWrite>;
