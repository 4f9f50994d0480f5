/** What is in key number i: one key of every kind that Redis has, small and big, with and without TTL. */
import { randomOf, type Random } from './random.ts';

export type FillType = 'string' | 'binary' | 'bitmap' | 'hyperloglog' | 'hash' | 'list' | 'set' | 'zset' | 'stream';

export interface FillKey {
  type: FillType;
  database: number;
  /** Whole commands: name, key, arguments. */
  commands: (string | number | Buffer)[][];
  /** Milliseconds; absent where the key stays. */
  ttlMs?: number;
}

/** The logical databases that are filled. 2 is left empty on purpose: a copy must not mind the gap. */
export const DATABASES = [0, 1, 3] as const;

const TYPES: [FillType, number][] = [
  ['string', 0.4],
  ['hash', 0.2],
  ['list', 0.1],
  ['set', 0.1],
  ['zset', 0.1],
  ['stream', 0.03],
  ['binary', 0.04],
  ['bitmap', 0.02],
  ['hyperloglog', 0.01],
];

const BIG_VALUES = 0.0005;
const BIG_COLLECTIONS = 0.0005;
const SHORT_TTLS = 0.02;
const LONG_TTLS = 0.1;

/** Deterministic in both arguments, apart from the moment that a TTL starts to run. */
export function fillKey(seed: number, index: number): FillKey {
  const random = randomOf(seed, index);
  const type = typeAt(random.fraction());
  const place = random.fraction();
  const database = DATABASES[place < 0.7 ? 0 : place < 0.9 ? 1 : 2];
  const key = `fill:${type}:${index}`;
  const filled: FillKey = { type, database, commands: COMMANDS[type](key, random) };
  if (random.chance(SHORT_TTLS)) filled.ttlMs = random.between(5_000, 30_000);
  else if (random.chance(LONG_TTLS)) filled.ttlMs = random.between(3_600_000, 86_400_000);
  if (filled.ttlMs !== undefined) filled.commands.push(['PEXPIRE', key, filled.ttlMs]);
  return filled;
}

function typeAt(fraction: number): FillType {
  let upTo = 0;
  for (const [type, share] of TYPES) {
    upTo += share;
    if (fraction < upTo) return type;
  }
  return 'string';
}

/** How many members a collection has: mostly few (a compact encoding), sometimes so many that it is a real table. */
function size(random: Random): number {
  return random.chance(BIG_COLLECTIONS) ? random.between(1_000, 3_000) : random.between(1, 12);
}

function members<T>(random: Random, one: (n: number) => T[]): T[] {
  const count = size(random);
  const all: T[] = [];
  for (let n = 0; n < count; n++) all.push(...one(n));
  return all;
}

const COMMANDS: Record<FillType, (key: string, random: Random) => (string | number | Buffer)[][]> = {
  string: (key, random) => {
    const big = random.chance(BIG_VALUES);
    const value = big ? random.word(64).repeat(random.between(1_000, 4_000)) : random.word(random.between(1, 64));
    return [['SET', key, random.chance(0.2) ? String(random.between(-1_000_000, 1_000_000)) : value]];
  },
  binary: (key, random) => [['SET', key, random.bytes(random.between(1, 200))]],
  bitmap: (key, random) => [
    ['SETBIT', key, random.between(0, 4_000), 1],
    ['SETBIT', key, random.between(0, 4_000), 1],
  ],
  hyperloglog: (key, random) => [['PFADD', key, ...members(random, () => [random.word(8)])]],
  hash: (key, random) => [['HSET', key, ...members(random, (n) => [`field${n}`, random.word(random.between(1, 30))])]],
  list: (key, random) => [['RPUSH', key, ...members(random, () => [random.word(random.between(1, 30))])]],
  set: (key, random) => {
    const numbers = random.chance(0.3);
    return [['SADD', key, ...members(random, (n) => [numbers ? String(n * 7) : `${n}${random.word(8)}`])]];
  },
  zset: (key, random) => [['ZADD', key, ...members(random, (n) => [random.fraction() * 1_000, `member${n}`])]],
  stream: (key, random) => {
    const entries = random.between(1, 5);
    const commands: (string | number | Buffer)[][] = [];
    for (let n = 1; n <= entries; n++) commands.push(['XADD', key, `${n}-1`, 'field', random.word(10)]);
    if (random.chance(0.3)) commands.push(['XGROUP', 'CREATE', key, 'readers', '0']);
    return commands;
  },
};
