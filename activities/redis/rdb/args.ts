/** What the activities around an RDB are asked. */
import type { RdbFrom, RdbObject, SavedRdb } from '../../../spec/redis-rdb.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import type { Ours } from '../../ec2/tags.ts';

export interface SaveRdbArgs {
  source: RedisEndpoint;
  /** For the save, with those before it that are waited for, ms. */
  timeoutMs: number;
  /** How often the server is asked, ms. */
  intervalMs?: number;
}

export interface UploadRdbArgs {
  ours: Ours;
  source: RedisEndpoint;
  from: RdbFrom;
  /** spec/redis-rdb.ts `rdbObject`: a key of this run alone. */
  to: RdbObject;
  /** Needed for a file (`path`, `ssm`); with `replication` the source saves once more, for this alone. */
  saved?: SavedRdb;
  /** ms */
  timeoutMs: number;
  /** Of the step, from 1: what SSM was told in an earlier try is not taken for this one's. */
  attempt?: number;
}

export interface RdbObjectArgs {
  ours: Ours;
  to: RdbObject;
}

export interface RemoveRdbArgs extends RdbObjectArgs {
  /** With `ssm`: the second name that the file got on the machine is removed too. */
  from?: RdbFrom;
  /** For a path that the file leaves to the server. */
  saved?: Pick<SavedRdb, 'dir' | 'dbfilename'>;
  attempt?: number;
}
