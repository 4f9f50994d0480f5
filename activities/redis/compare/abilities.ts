/** What a server lets us do. Found by trying each command on a key that does not exist: versions, ACLs and renamed commands all show. */
import type { Redis } from 'ioredis';
import { ownScript } from '../own-scripts.ts';

export interface Abilities {
  /** Name of the EVAL to use, or undefined where scripts are refused. */
  eval: 'EVAL_RO' | 'EVAL' | undefined;
  /** PEXPIRETIME: 7.0 and later. */
  pexpiretime: boolean;
  /** Fields of hashes can expire: Redis 7.4, Valkey 9. */
  fieldExpiry: boolean;
  memoryUsage: boolean;
  dump: boolean;
  /** SMISMEMBER and ZMSCORE: 6.2 and later. */
  multiLookup: boolean;
  info: boolean;
}

/** A key that does not exist, with a name that we may use. */
export const PROBE = 'cutover:probe';

const SCRIPT = ownScript(`redis.call('TYPE', KEYS[1]) return redis.sha1hex(cmsgpack.pack({struct.pack('>d', 1)}))`);

async function accepted(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    // Anything but an answer of the server (a lost connection) says nothing about abilities.
    if (
      !(error instanceof Error) ||
      error.name !== 'ReplyError' ||
      /^(LOADING|BUSY|MASTERDOWN|NOAUTH)/.test(error.message)
    ) {
      throw error;
    }
    return false;
  }
}

/**
 * EVAL_RO is preferred where it exists (7.0): the server itself then refuses any write, and it runs even under CLIENT PAUSE WRITE.
 * @param probe in a cluster one that lies in a slot of the node
 * @throws what the connection throws, and LOADING, BUSY, MASTERDOWN, NOAUTH
 */
export async function abilitiesOf(redis: Redis, probe: string = PROBE): Promise<Abilities> {
  const has = (name: string, ...args: (string | number)[]) => accepted(redis.callBuffer(name, args));
  const [readOnlyEval, pexpiretime, fieldExpiry, memoryUsage, dump, smismember, zmscore, info] = await Promise.all([
    has('EVAL_RO', SCRIPT.text, 1, probe),
    has('PEXPIRETIME', probe),
    has('HPEXPIRETIME', probe, 'FIELDS', 1, 'f'),
    has('MEMORY', 'USAGE', probe),
    has('DUMP', probe),
    has('SMISMEMBER', probe, 'm'),
    has('ZMSCORE', probe, 'm'),
    has('INFO', 'keyspace'),
  ]);
  // Only where it is needed: under CLIENT PAUSE WRITE an EVAL is not refused, it hangs.
  const anyEval = !readOnlyEval && (await has('EVAL', SCRIPT.text, 1, probe));
  return {
    eval: readOnlyEval ? 'EVAL_RO' : anyEval ? 'EVAL' : undefined,
    pexpiretime,
    fieldExpiry,
    memoryUsage,
    dump,
    multiLookup: smismember && zmscore,
    info,
  };
}
