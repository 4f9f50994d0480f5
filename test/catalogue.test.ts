/** `cutover snapshots`: real snapshots through a worker, a system that can't be asked, and backups that are too old. */
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { CopyObjectCommand, DeleteObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { catalogue, startMigration, staleSources, type CatalogueEntry } from '../client/index.ts';
import { catalogueText, staleText } from '../client/cli/snapshots-view.ts';
import { startAws, type Aws } from '../sandbox/aws/index.ts';
import { EXAMPLE_BUCKET, furnishDynamoDb } from '../sandbox/furnish-dynamodb.ts';
import { furnishMachines } from '../sandbox/furnish-machines.ts';
import { startMoto } from '../sandbox/runtime/moto.ts';
import { ensureTool } from '../sandbox/runtime/tools.ts';
import { cli as command } from './schedule-cli.ts';
import { createGroup, workerEnvironment } from './stage/elasticache.ts';
import { isDone, Stage, until, untilStatus } from './stage/stage.ts';

const KEYS = { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' };
const HOUR = 3_600_000;
const NOW = Date.parse('2026-11-21T12:00:00Z');
const ago = (hours: number) => new Date(NOW - hours * HOUR).toISOString();

function entry(id: string, more: Partial<CatalogueEntry> = {}): CatalogueEntry {
  return {
    system: 'elasticache',
    type: 'snapshot',
    id,
    name: id,
    source: 'shop',
    state: 'available',
    complete: true,
    automatic: false,
    ...more,
  };
}

describe('too old', () => {
  const stale = (entries: CatalogueEntry[], source?: string) =>
    staleSources(entries, 26 * HOUR, { source, now: NOW }).map(staleText);

  test.each<[string, CatalogueEntry[], string[]]>([
    ['a fresh one', [entry('new', { createdAt: ago(25) }), entry('old', { createdAt: ago(90) })], []],
    [
      'a fresh one that is not complete does not count',
      [entry('new', { createdAt: ago(1), complete: false }), entry('old', { createdAt: ago(27) })],
      [`too old: the newest complete backup of elasticache shop is old, of ${ago(27)}`],
    ],
    [
      'none that is complete',
      [entry('new', { createdAt: ago(1), complete: false })],
      ['too old: there is no complete backup of elasticache shop'],
    ],
    ['one whose time is not known', [entry('odd')], ['too old: there is no complete backup of elasticache shop']],
    [
      'an export of this hour, of a point in time of last week',
      [entry('e', { system: 'dynamodb', createdAt: ago(1), asOf: ago(170) })],
      [`too old: the newest complete backup of dynamodb shop is e, of ${ago(170)}`],
    ],
    [
      'each source by itself, also where two systems share a name',
      [entry('a', { createdAt: ago(1) }), entry('b', { createdAt: ago(50), system: 'machine' })],
      [`too old: the newest complete backup of machine shop is b, of ${ago(50)}`],
    ],
    ['nothing at all', [], ['too old: there is no complete backup of every source']],
  ])('%s', (_what, entries, lines) => {
    expect(stale(entries).map(stripVTControlCharacters)).toEqual(lines);
  });

  test('a source that is asked for and has none', () => {
    expect(stale([], 'shop-cache').map(stripVTControlCharacters)).toEqual([
      'too old: there is no complete backup of shop-cache',
    ]);
  });
});

test('as a table: why one is not complete, who made it, totals', () => {
  const lines = catalogueText(
    {
      entries: [
        entry('new', { createdAt: ago(1), complete: false, problem: 'shard 0002 is missing' }),
        entry('night', { createdAt: ago(9), sizeBytes: 3 * 2 ** 20, madeBy: { migration: 'nightly' } }),
        entry('daily', { createdAt: ago(30), sizeBytes: 2 ** 20, automatic: true, source: 'blog' }),
      ],
      unknown: [],
    },
    NOW,
  )
    .split('\n')
    .map(stripVTControlCharacters);
  expect(lines[1]).toMatch(/^elasticache +shop +new +1h +others +NOT complete: shard 0002 is missing$/);
  expect(lines[2]).toMatch(/^elasticache +shop +night +9h +3 MiB +nightly +complete$/);
  expect(lines[3]).toMatch(/^elasticache +blog +daily +1d 6h +1 MiB +AWS, daily +complete$/);
  expect(lines.at(-1)).toBe('3 backups of 2 sources, 2 complete, 4 MiB (of 1 the size is not known)');
});

describe('through a worker', () => {
  let stage: Stage;
  let aws: Aws;
  const cli = (...words: string[]) => command(stage, words);
  const run = async (migration: Record<string, unknown>) => {
    const file = { aws: { region: aws.region }, ...migration };
    await untilStatus(await startMigration(stage.client, { migration: file as never }), 'done', isDone);
  };

  beforeAll(async () => {
    stage = await Stage.open();
    const moto = await startMoto({ dir: join(stage.dir, 'moto') });
    stage.endLater(moto, () => moto.kill());
    const { path } = await ensureTool('redis-server');
    aws = await startAws({ dir: join(stage.dir, 'aws'), redisServer: path, forward: moto.url });
    stage.endLater(aws, () => aws.stop());
    await stage.worker(workerEnvironment(aws));
    await Promise.all([createGroup(aws, 'shop'), furnishDynamoDb(aws), furnishMachines(aws)]);
    await run({ kind: 'elasticache-backup', id: 'before-sale', replicationGroup: 'shop' });
    await run({ kind: 'dynamodb-export', id: 'tables', tables: ['customers'], bucket: EXAMPLE_BUCKET });
  });
  afterEach(() => aws.control.reset());
  afterAll(() => stage.close());

  test('every system in one list, as a table and as JSON', async () => {
    const { code, out, err } = await cli('snapshots');
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^elasticache +shop +before-sale-\d{8}-\d{6} .* before-sale +complete$/m);
    expect(out).toMatch(/^dynamodb +customers .* tables +complete$/m);
    expect(out).toMatch(/^machine +i-[0-9a-f]+ +services-machine-sandbox .* services-machine +complete$/m);
    expect(out).toMatch(/^3 backups of 3 sources, 3 complete, /m);
    const { entries, unknown } = await catalogue(stage.client, { region: aws.region });
    expect(unknown).toEqual([]);
    // Newest first.
    const times = entries.map(({ createdAt }) => createdAt!);
    expect(times).toEqual(times.toSorted().toReversed());
    for (const { sizeBytes } of entries) expect(sizeBytes).toBeGreaterThan(0);
  });

  test('an export whose files are gone is not complete, whatever AWS says of it', async () => {
    const s3 = new S3Client({ endpoint: aws.url, region: aws.region, credentials: KEYS, forcePathStyle: true });
    try {
      const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: EXAMPLE_BUCKET }));
      // Not the copy of a first attempt.
      const isManifest = (key: string) => key.endsWith('manifest-summary.json') && !key.startsWith('aside/');
      const manifest = Contents.map(({ Key = '' }) => Key).find(isManifest)!;
      const aside = `aside/${manifest}`;
      const copy = (from: string, to: string) =>
        s3.send(new CopyObjectCommand({ Bucket: EXAMPLE_BUCKET, Key: to, CopySource: `${EXAMPLE_BUCKET}/${from}` }));
      await copy(manifest, aside);
      await s3.send(new DeleteObjectCommand({ Bucket: EXAMPLE_BUCKET, Key: manifest }));
      try {
        const { code, out, err } = await cli('snapshots', '--system', 'dynamodb', '--max-age', '26h');
        expect(out).toMatch(/^dynamodb +customers .* NOT complete: its manifest is gone/m);
        expect([code, err]).toEqual([1, 'too old: there is no complete backup of dynamodb customers\n']);
      } finally {
        await copy(aside, manifest);
      }
    } finally {
      s3.destroy();
    }
  });

  test('a system that can not be asked is unknown, and the exit code is 1', async () => {
    aws.control.failNext({ action: 'ListExports', code: 'AccessDeniedException', times: 100 });
    const { code, out, err } = await cli('snapshots');
    expect(out).toMatch(/^elasticache +shop +before-sale-/m);
    expect(out).not.toMatch(/^dynamodb/m);
    expect(err).toMatch(/^unknown: dynamodb could not be asked, so its backups are missing from the list: .+/m);
    expect(code).toBe(1);
  });

  test('of one system and source, as JSON', async () => {
    const found = await cli('snapshots', '--system', 'elasticache', '--source', 'shop', '--max-age', '26h', '--json');
    expect([found.code, found.err]).toEqual([0, '']);
    expect(JSON.parse(found.out)).toMatchObject({ entries: [{ source: 'shop' }], unknown: [], stale: [] });
    const none = await cli('snapshots', '--system', 'elasticache', '--source', 'other');
    expect([none.code, none.out]).toEqual([0, 'no backups\n']);
    const wrong = await cli('snapshots', '--system', 'redis');
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('elasticache, dynamodb, machine')]);
  });

  test('--max-age: 1 where the newest complete one is older, and where there is none', async () => {
    const look = () => cli('snapshots', '--system', 'elasticache', '--max-age', '1s');
    const old = await until('it is a second old', async () => {
      const ran = await look();
      return ran.code === 1 ? ran : undefined;
    });
    expect(old.err).toMatch(/^too old: the newest complete backup of elasticache shop is before-sale-/m);
    const none = await cli('snapshots', '--system', 'elasticache', '--source', 'other', '--max-age', '26h');
    expect([none.code, none.err]).toEqual([1, 'too old: there is no complete backup of other\n']);
  });
});
