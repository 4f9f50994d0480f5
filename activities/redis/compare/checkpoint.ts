/** What a checkpoint holds, and when one may be used. */
import { createHash } from 'node:crypto';
import type { CompareCheckpoint, CompareOptions, Example } from './types.ts';
import { CompareError, PASS_END } from './types.ts';

/** Examples kept in a checkpoint, in bytes of JSON: heartbeats must stay small, and the counts are whole anyway. */
const EXAMPLE_BYTES = 6_000;
const NOTE_BYTES = 2_000;

/** Digest of the options that decide which keys are compared and how: counts of two kinds must not be added up. */
export function optionsDigest(options: CompareOptions): string {
  const { mode, sampleRatio, databases, ignore, values, ttlToleranceMs } = options;
  const text = JSON.stringify([
    mode,
    mode === 'sample' ? sampleRatio : 1,
    databases ?? null,
    ignore,
    values,
    ttlToleranceMs,
  ]);
  return createHash('sha1').update(text).digest('hex').slice(0, 16);
}

/** As many from the start as fit. */
function fitting<T>(items: readonly T[], bytes: number): T[] {
  const kept: T[] = [];
  let left = bytes;
  for (const item of items) {
    left -= Buffer.byteLength(JSON.stringify(item));
    if (left < 0) break;
    kept.push(item);
  }
  return kept;
}

export const keptExamples = (examples: readonly Example[]) => fitting(examples, EXAMPLE_BYTES);
export const keptNotes = (notes: Iterable<string>) => fitting([...notes], NOTE_BYTES);

/** The checkpoint, if it is one of these options; a note says why not. */
export function usable(
  checkpoint: CompareCheckpoint | undefined,
  options: CompareOptions,
  note: (text: string) => void,
): CompareCheckpoint | undefined {
  if (!checkpoint) return undefined;
  if (checkpoint.version === 1 && checkpoint.options === optionsDigest(options)) return checkpoint;
  note('started from the beginning: the checkpoint was made with other options');
  return undefined;
}

/**
 * The checkpoint, if the nodes have the slots that they had. Else nothing of it holds: keys went to where the scan had been already.
 */
export function ofTopology(
  checkpoint: CompareCheckpoint | undefined,
  topology: string | undefined,
  note: (text: string) => void,
): CompareCheckpoint | undefined {
  if (!checkpoint || checkpoint.cluster?.topology === topologyDigest(topology)) return checkpoint;
  note('started from the beginning: the nodes of a cluster, or their slots, are not those of the checkpoint');
  return undefined;
}

/** Short, because a large cluster has many ranges of slots. */
export const topologyDigest = (topology: string | undefined): string | undefined =>
  topology === undefined ? undefined : createHash('sha1').update(topology).digest('hex').slice(0, 16);

/**
 * Where the pass goes on: at the checkpoint's cursor, or from its start with the counts from before it, where the process that
 * gave the cursor is not the one that answers now, or that is not known.
 */
export function continued(
  checkpoint: CompareCheckpoint,
  runId: string,
  note: (text: string) => void,
): CompareCheckpoint {
  if (checkpoint.cursor === PASS_END || (runId !== '' && runId === checkpoint.server)) return checkpoint;
  if (checkpoint.cursor !== '0') {
    note(
      `database ${checkpoint.db} was read again from its start: the ${checkpoint.phase} is another process than before`,
    );
  }
  const { tally, examples, keysDone = 0 } = checkpoint.passStart;
  return { ...checkpoint, cursor: '0', keysDone, tally, examples: checkpoint.examples.slice(0, examples) };
}

/** @throws CompareError OPTIONS_INVALID */
export function checkOptions(options: CompareOptions): void {
  const wrong = (what: string) => new CompareError('OPTIONS_INVALID', `compare: ${what}`, false);
  const { sampleRatio, rereadTimes, ttlToleranceMs, rereadDelayMs, maxKeysPerSecond, databases } = options;
  if (options.mode === 'sample' && !(sampleRatio !== undefined && sampleRatio > 0 && sampleRatio <= 1)) {
    throw wrong(`sampleRatio is ${sampleRatio}; mode sample needs a number above 0 and up to 1`);
  }
  if (!Number.isInteger(rereadTimes) || rereadTimes < 1) {
    throw wrong(
      `rereadTimes is ${rereadTimes}; it must be at least 1, a single reading of moving data proves no difference`,
    );
  }
  if (!(ttlToleranceMs >= 0)) throw wrong(`ttlToleranceMs is ${ttlToleranceMs}; it must be 0 or more`);
  if (!(rereadDelayMs >= 0)) throw wrong(`rereadDelayMs is ${rereadDelayMs}; it must be 0 or more`);
  if (maxKeysPerSecond !== undefined && !(maxKeysPerSecond > 0)) {
    throw wrong(`maxKeysPerSecond is ${maxKeysPerSecond}; leave it out for no limit`);
  }
  const bad = databases?.find((db) => !Number.isInteger(db) || db < 0);
  if (bad !== undefined) throw wrong(`database ${bad} is no number of a database`);
}
