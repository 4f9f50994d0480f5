/** What a server tells of the scripts it ran, where that is not enough: Redis 4, SCRIPT refused, scripts of our earlier releases. */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import '../activities/index.ts';
import { raiseFence } from '../activities/redis/fence.ts';
import { ASKING_REMEDY, CALLS_REMEDY, SCRIPTS_REMEDY, scriptsGetThrough } from '../activities/redis/fence-scripts.ts';
import { OWN_SHAS, ownShas, registeredScripts } from '../activities/redis/own-scripts.ts';
import { primaryFenceChecks, type FenceContext } from '../activities/redis/preflight/fence-checks.ts';
import { engineVersion } from '../activities/redis/preflight/versions.ts';
import * as dualWrite from '../spec/dual-write.ts';

const WRITE = `return redis.call('set', KEYS[1], 'by a script')`;
/** Of `git show d0ff9e6:…`: what a release before 5d0c818 and 373490e left on a source. */
const EARLIER = {
  digest: '2b8f515208304dd87e8518559021aa0c5a3e8c76',
  clusterDigest: 'de284289dbf698459332a0fb6a98adedb10b58dd',
  changePhase: 'c70db7efc84f24cf1b118740e9de2667252d20eb',
};

interface Told {
  version?: string;
  /** EVAL's writes under a fence. */
  lets?: boolean;
  /** Why SCRIPT is refused. */
  script?: string;
  /** Why EVAL is. */
  eval?: string;
  commandstats?: boolean;
}

/** A fenced server, as far as it is asked about scripts: no build of Redis 4 can be had here. */
class FencedServer {
  readonly kept = new Set<string>();
  evals = 0;
  #evalCalls = 0;
  readonly #settings = new Map([
    ['min-slaves-to-write', '0'],
    ['min-slaves-max-lag', '10'],
  ]);
  readonly told: Told;
  constructor(told: Told = {}) {
    this.told = told;
  }

  readonly redis = {
    info: async (section?: string) => {
      const { version = '4.0.14', commandstats = true } = this.told;
      if (section === 'server') return `# Server\r\nredis_version:${version}\r\nrun_id:${'a'.repeat(40)}\r\n`;
      if (section === 'memory')
        return `# Memory\r\nused_memory:1\r\n${version.startsWith('4') ? '' : `number_of_cached_scripts:${this.kept.size}\r\n`}`;
      if (section === 'commandstats') return commandstats ? this.#stats() : '# Commandstats\r\n';
      return `role:master\r\nmaster_replid:${'b'.repeat(40)}\r\nmaster_repl_offset:7\r\nconnected_slaves:0\r\nredis_version:${version}\r\n`;
    },
    script: async (_exists: 'EXISTS', ...shas: string[]) => {
      if (this.told.script !== undefined) throw this.#error(this.told.script);
      return shas.map((sha) => (this.kept.has(sha) ? 1 : 0));
    },
    call: async (name: string, text: string) => {
      expect(name).toBe('EVAL');
      this.evals++;
      if (this.told.eval !== undefined) throw this.#error(this.told.eval);
      this.run(text);
      if (this.told.lets === false) throw this.#error('ERR Error running script: NOREPLICAS Not enough good replicas');
      return 0;
    },
    config: async (what: 'GET' | 'SET', name: string, value?: unknown) => {
      if (what === 'SET') this.#settings.set(name, String(value));
      return [...this.#settings].flat();
    },
    get: async () => null,
    set: async () => 'OK',
    del: async () => {
      throw this.#error('NOREPLICAS Not enough good replicas to write.');
    },
  } as unknown as Redis;

  /** By the application, or by a compare of ours. */
  run(text: string): void {
    this.#evalCalls++;
    this.kept.add(createHash('sha1').update(text).digest('hex'));
  }

  resetStat(): void {
    this.#evalCalls = 0;
  }

  #stats(): string {
    const evals = this.#evalCalls > 0 ? `cmdstat_eval:calls=${this.#evalCalls},usec=9,usec_per_call=3.00\r\n` : '';
    return `# Commandstats\r\n${evals}cmdstat_info:calls=3,usec=80,usec_per_call=26.00\r\n`;
  }

  #error(message: string): Error {
    return Object.assign(new Error(message), { name: 'ReplyError' });
  }

  ask = () => scriptsGetThrough(this.redis, 'cutover:fence:probe');

  async check(moment: FenceContext['moment']) {
    const { redis, told } = this;
    const source = {
      version: async () => engineVersion('redis', told.version ?? '4.0.14'),
      info: async () => ({}),
      connection: async () => redis,
      where: 'old:6379',
    } as unknown as FenceContext['source'];
    const { run } = primaryFenceChecks.find(({ id }) => id === 'C10')!;
    return run({ moment, source, migration: { id: 'shop' } });
  }
}

/** One of those that run on a source: what a compare leaves there. */
const ours = () => registeredScripts().get('0366303f7d86f85c94cb6d61044dba56d0edd0b8')!;

describe('Redis 4 counts calls alone', () => {
  test('the application alone ran scripts: refused, however often it is asked', async () => {
    const server = new FencedServer();
    server.run(WRITE);
    expect(await server.ask()).toEqual({
      why: 'Redis 4.0.14 lets scripts write in spite of min-replicas-to-write, and has run some that are not ours (1)',
      remedy: SCRIPTS_REMEDY,
    });
    // By now our own try is among them, and none can be told from another.
    expect(await server.ask()).toEqual({
      why: 'Redis 4.0.14 lets scripts write in spite of min-replicas-to-write, and does not tell which scripts ran beside our own (2 calls in all)',
      remedy: CALLS_REMEDY,
    });
  });

  test('beside ours it may have run others: refused, until it is told to forget both, and as often as the fence is tried then', async () => {
    const server = new FencedServer();
    server.run(ours());
    server.run(WRITE);
    await expect(raiseFence(server.redis, 'shop', 1001)).rejects.toMatchObject({
      type: 'cutover.Invalid',
      message: expect.stringContaining('does not tell which scripts ran beside our own (2 calls in all)'),
      details: [{ remedy: CALLS_REMEDY }],
    });
    server.resetStat();
    server.kept.clear();
    for (const generation of [1002, 1003]) {
      expect(await raiseFence(server.redis, 'shop', generation)).toMatchObject({ offset: 7 });
    }
  });

  test('where SCRIPT is renamed, CONFIG RESETSTAT is enough', async () => {
    const server = new FencedServer({ script: "ERR unknown command 'SCRIPT'" });
    server.run(WRITE);
    expect(await server.ask()).toMatchObject({ remedy: CALLS_REMEDY });
    server.resetStat();
    expect(await server.ask()).toBeUndefined();
    expect(await server.ask()).toBeUndefined();
  });

  test('C10: told at the start, refused right before the fence', async () => {
    const server = new FencedServer();
    server.run(ours());
    const found =
      'Redis 4.0.14 lets scripts write in spite of the fence, and does not tell which scripts ran beside our own (1 calls in all)';
    expect(await server.check('before-attach')).toEqual({
      result: 'warn',
      found: `${found}; the cutover refuses until they are stopped`,
      remedy: CALLS_REMEDY,
    });
    expect(await server.check('before-fence')).toEqual({ result: 'unmet', found, remedy: CALLS_REMEDY });
    server.resetStat();
    server.kept.clear();
    expect(await server.check('before-fence')).toMatchObject({ result: 'pass' });
  });
});

describe('SCRIPT is refused to our user', () => {
  const REFUSED = "NOPERM this user has no permissions to run the 'script' command or its subcommand";
  test('that nobody ran any needs no SCRIPT, and our own try is not made: the next attempt finds none either', async () => {
    const server = new FencedServer({ version: '6.0.10', script: REFUSED });
    expect(await server.ask()).toBeUndefined();
    expect(await server.ask()).toBeUndefined();
    expect(server.evals).toBe(0);
  });

  test('it can not be told whose they are: refused, with the right that it takes', async () => {
    const server = new FencedServer({ version: '6.0.10', script: REFUSED });
    server.run(ours());
    expect(await server.ask()).toEqual({
      why: `Redis 6.0.10 lets scripts write in spite of min-replicas-to-write, and may have run some that are not ours: it keeps 1, and does not let us ask which (${REFUSED})`,
      remedy: ASKING_REMEDY,
    });
    expect(ASKING_REMEDY).toContain('+script|exists');
    expect(await server.check('before-attach')).toMatchObject({ result: 'warn', remedy: ASKING_REMEDY });
    expect(await server.check('before-fence')).toMatchObject({ result: 'unmet', remedy: ASKING_REMEDY });
    delete server.told.script;
    // The try of before is ours, and so is the compare.
    expect(await server.ask()).toBeUndefined();
    expect(await server.check('before-fence')).toMatchObject({ result: 'pass' });
  });

  test('and EVAL, too: it is no proof that nobody runs any', async () => {
    const server = new FencedServer({
      version: '6.0.10',
      script: REFUSED,
      eval: 'NOPERM this user has no permissions',
    });
    server.run(WRITE);
    expect(await server.ask()).toMatchObject({
      why: expect.stringContaining('may let scripts write, which our user may not try'),
      remedy: ASKING_REMEDY,
    });
  });
});

describe('a server is judged by what it does, whatever it calls itself', () => {
  test.each(['4.0.14', '6.0.10', '7.2.4'])('%s that refuses the write of a script holds them', async (version) => {
    const server = new FencedServer({ version, lets: false });
    server.run(WRITE);
    expect(await server.ask()).toBeUndefined();
  });

  test('one that calls itself 7.2 and lets them write does not', async () => {
    const server = new FencedServer({ version: '7.2.4' });
    server.run(WRITE);
    expect(await server.ask()).toMatchObject({
      why: 'Redis 7.2.4 lets scripts write in spite of min-replicas-to-write, and has run some that are not ours (1)',
    });
  });

  test('no count of scripts and none of commands: it says nothing, which is not none', async () => {
    const server = new FencedServer({ commandstats: false });
    expect(await server.ask()).toMatchObject({
      why: expect.stringContaining('does not tell which scripts ran beside our own (it counts none)'),
    });
  });
});

describe('which scripts are ours', () => {
  test('what a release of before left on the source is no script of the application', async () => {
    const server = new FencedServer({ version: '5.0.14' });
    for (const sha of Object.values(EARLIER)) server.kept.add(sha);
    expect(await server.ask()).toBeUndefined();
    server.run(WRITE);
    expect(await server.ask()).toMatchObject({ why: expect.stringContaining('not ours (1)') });
  });

  test('every text that we run is in OWN_SHAS. Was one changed? Add the SHA1 named here, and leave the old one: sources keep it', () => {
    expect([...registeredScripts().keys()].filter((sha) => !OWN_SHAS.includes(sha))).toEqual([]);
    expect(new Set(OWN_SHAS).size).toBe(OWN_SHAS.length);
  });

  test('and none that was there is taken out', () => {
    expect(ownShas()).toEqual(expect.arrayContaining(Object.values(EARLIER)));
  });

  test('those of the dual write, whose texts stand in the spec, are registered as well', () => {
    const texts = Object.entries(dualWrite).flatMap(([name, value]) => (name.endsWith('_SCRIPT') ? [value] : []));
    expect(texts.length).toBeGreaterThanOrEqual(2);
    expect([...registeredScripts().values()]).toEqual(expect.arrayContaining(texts));
    // digest (2), abilities, copy (2), dual write (3), the fence's own.
    expect(registeredScripts().size).toBe(9);
  });
});
