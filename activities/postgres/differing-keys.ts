/** Which rows differ: a few primary keys for an operator to look at, without sending either table over. */
import type pg from 'pg';
import { rowHash, textHash, fromTable, type HashName, type SumOf } from './checksum.ts';
import { quoted } from './names.ts';

/** Rows of a bucket, about: it is what is read to find the key. */
const BUCKET_ROWS = 2_000;
const MOST_BUCKETS = 65_536;
/** A bucket's keys are read whole; a table whose statistics lied must not fill the worker's memory. */
const MOST_KEYS = 50_000;

/**
 * Up to `most` keys, as text: `(1,a) is missing on the target`. Both tables are cut into buckets by the hash of the key;
 * only the rows of buckets that differ are looked at one by one.
 */
export async function differingKeys(
  sides: { source: pg.ClientBase; target: pg.ClientBase },
  table: SumOf & { primaryKey: string[]; rows: number },
  hash: HashName,
  most: number,
): Promise<string[]> {
  if (table.primaryKey.length === 0) return [];
  const buckets = Math.min(MOST_BUCKETS, Math.max(1, Math.ceil(table.rows / BUCKET_ROWS)));
  const key = `ROW(${table.primaryKey.map(quoted).join(', ')})::text`;
  const bucket = `abs(${textHash(key, hash)} % ${buckets})`;
  const row = rowHash(table.columns, hash);
  const perBucket = async (client: pg.ClientBase) => {
    const { rows } = await client.query<{ bucket: string; sum: string }>(
      `SELECT ${bucket}::text AS bucket, count(*) || ' ' || sum(${row}::numeric) AS sum FROM ${fromTable(table)} GROUP BY 1`,
    );
    return new Map(rows.map((found) => [found.bucket, found.sum]));
  };
  const [source, target] = await Promise.all([perBucket(sides.source), perBucket(sides.target)]);
  const differing = [...new Set([...source.keys(), ...target.keys()])].filter((b) => source.get(b) !== target.get(b));
  const found: string[] = [];
  for (const wanted of differing) {
    const inBucket = async (client: pg.ClientBase) => {
      const { rows } = await client.query<{ key: string; hash: string }>(
        `SELECT ${key} AS key, ${row}::text AS hash FROM ${fromTable(table)} WHERE ${bucket} = $1 LIMIT ${MOST_KEYS}`,
        [wanted],
      );
      return new Map(rows.map((one) => [one.key, one.hash]));
    };
    const [here, there] = await Promise.all([inBucket(sides.source), inBucket(sides.target)]);
    for (const one of new Set([...here.keys(), ...there.keys()])) {
      if (here.get(one) === there.get(one)) continue;
      found.push(
        !there.has(one)
          ? `${one} is missing on the target`
          : !here.has(one)
            ? `${one} is only on the target`
            : `${one} has other values`,
      );
      if (found.length >= most) return found;
    }
  }
  return found;
}
