/** What an application, and its data, have to bring to a group with shards that one server never asked of them. */
import prettyBytes from 'pretty-bytes';
import { pass, unmet, warn } from '../../preflight/check.ts';
import { commandCalls } from '../command-calls.ts';
import { hasKey } from '../copy/slots.ts';
import { redisCli } from '../preflight/commands.ts';
import { infoNumber } from '../preflight/probe.ts';
import { sampledSizes } from '../preflight/sample-keys.ts';
import type { OfflineCheck, OfflineContext } from './context.ts';
import { roomOf, shareOf, slotsOfShards } from './target-shape.ts';

const bytes = (n: number) => prettyBytes(n, { binary: true });
const cli = ({ source }: OfflineContext, ...command: string[]) => redisCli(source.endpoint, ...command);

/** So many standard deviations above its share no shard is by chance, of however many. */
const TELLING_DEVIATIONS = 5;

const spread: OfflineCheck = {
  id: 'G4',
  title: 'the keys spread over the shards',
  severity: 'warn',
  remedy: () =>
    'a larger to.nodeType, or slots of to.shards that suit the keys: keys with one {hash tag}, and a single large key, lie on one shard however many there are',
  byHand: (c) => `${cli(c, '--bigkeys')}; hash tags in key names`,
  run: async (c) => {
    const keys = await sampledSizes(c.source);
    if (keys.length === 0) return pass('there are no keys');
    const shards = slotsOfShards(c).map((ranges) => {
      const own = keys.filter(({ key }) => hasKey({ slots: ranges }, key));
      const share = shareOf(ranges);
      const deviation = Math.sqrt(keys.length * share * (1 - share));
      return {
        keys: own.length,
        bytes: own.reduce((sum, one) => sum + one.bytes, 0),
        tooMany: own.length > keys.length * share + TELLING_DEVIATIONS * deviation,
      };
    });
    const sum = shards.reduce((all, shard) => all + shard.bytes, 0);
    const fullest = shards.reduce((most, shard) => (shard.bytes > most.bytes ? shard : most));
    const memory = (infoNumber(await c.source.info(), 'used_memory') * fullest.bytes) / sum;
    const found = `of ${keys.length} keys picked at random, one of ${shards.length} shard(s) gets ${fullest.keys}, and ${Math.round((100 * fullest.bytes) / sum)} % of their memory: about ${bytes(Math.ceil(memory))}`;
    const { bytes: room } = await roomOf(c);
    if (memory > room) return unmet(`${found}; a node has room for ${bytes(room)}`);
    return (shards.some(({ tooMany }) => tooMany) ? unmet : pass)(found);
  },
};

/** Refused in cluster mode, whatever their keys are. SELECT of 0 alone passes. */
const REFUSED = ['move', 'select', 'swapdb'];
/** See one shard alone: an application that means all keys has to ask each. */
const ONE_SHARD = ['dbsize', 'flushall', 'flushdb', 'keys', 'randomkey', 'scan'];
/** Of several keys, which then must lie in one slot. */
const SEVERAL_KEYS = `
  bitop blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin copy eval evalsha exec fcall
  geosearchstore lcs lmove lmpop mget mset msetnx pfcount pfmerge rename renamenx rpoplpush sdiff
  sdiffstore sinter sintercard sinterstore smove sunion sunionstore xread xreadgroup zdiff zdiffstore
  zinter zintercard zinterstore zmpop zrangestore zunion zunionstore
`
  .trim()
  .split(/\s+/);

const application: OfflineCheck = {
  id: 'G5',
  title: 'the application is ready for shards',
  severity: 'warn',
  remedy: () =>
    'its client has to be one for clusters (it follows MOVED), and the keys of one command, script or transaction need one {hash tag}: try it against a cluster before the switch, there is no way back by an abort',
  byHand: (c) => `${cli(c, 'INFO', 'commandstats')}  # which commands it uses`,
  run: async (c) => {
    const calls = commandCalls(String(await c.source.call('INFO', 'commandstats')));
    const used = (names: readonly string[]) =>
      names.filter((name) => (calls.get(name) ?? 0) > 0).map((name) => `${name} (${calls.get(name)})`);
    const groups = [
      ['refused with shards', used(REFUSED)],
      ['only where all of their keys lie in one slot', used(SEVERAL_KEYS)],
      ['of one shard alone', used(ONE_SHARD)],
    ] as const;
    const found = groups.filter(([, names]) => names.length > 0).map(([what, names]) => `${what}: ${names.join(', ')}`);
    return found.length === 0
      ? warn('no command of several keys was used since the source began; its client has to follow MOVED')
      : unmet(`used since the source began, cutover's own among them: ${found.join('; ')}`);
  },
};

export const shardChecks: readonly OfflineCheck[] = [spread, application];
