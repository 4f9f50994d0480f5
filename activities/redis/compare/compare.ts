/** Compares two Redis servers or clusters key by key, in both directions, while the source is being written to. */
import { once, setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { caughtUp } from './catch-up.ts';
import {
  checkOptions,
  continued,
  keptExamples,
  keptNotes,
  ofTopology,
  optionsDigest,
  topologyDigest,
  usable,
} from './checkpoint.ts';
import { Crew } from './crew.ts';
import { Examiner } from './examine.ts';
import { matcher, sampler } from './key-names.ts';
import { Judge } from './key-states.ts';
import { Ledger, differencesIn, emptyTally } from './ledger.ts';
import { BulkDepth, runPass } from './pass.ts';
import { Pace, Sizes, Throttle } from './progress.ts';
import { databasesOf, lossOf, openSides, requireSteady, selectDatabase } from './sides.ts';
import type { Node } from './side.ts';
import type { Sides } from './sides.ts';
import { ALWAYS_IGNORED } from './types.ts';
import type { CompareCheckpoint, CompareOptions, CompareResult, CompareRun, Connections, Phase } from './types.ts';

const PAGES_AT_ONCE = 3;
const CATCH_UP_MS = 60_000;

/**
 * Compares every key (or a sample) of every database: first all keys of the source with the target (missing, type, expiry, value),
 * then all keys of the target with the source (extra). What differs is read again before it counts (settle.ts).
 * It can be stopped at any time by the signal and go on from its last checkpoint: what lay before it is not counted again.
 * A key that SCAN gives twice (a server's table was being resized) counts twice in `keysCompared`, and once as a difference.
 * Of a cluster each primary is scanned in turn, and each key is read on the node that serves its slot (side.ts). Slots that
 * change hands meanwhile end the compare, and no checkpoint of before is used: keys may have gone to where the scan had been.
 * @throws the signal's reason; CompareError; what the connections throw, after which the same call with the last checkpoint goes on
 */
export async function compare(
  connections: Connections,
  options: CompareOptions,
  run: CompareRun = {},
): Promise<CompareResult> {
  checkOptions(options);
  const started = performance.now();
  const notes = new Set<string>();
  const note = (text: string) => void notes.add(text);
  const resumed = usable(run.resumeFrom, options, note);
  for (const text of resumed?.notes ?? []) note(text);

  const stop = new AbortController();
  // Every pause listens to it, and hundreds may be under way.
  setMaxListeners(0, stop.signal);
  const onAbort = () => stop.abort(run.signal?.reason);
  if (run.signal?.aborted) onAbort();
  else run.signal?.addEventListener('abort', onAbort, { once: true });
  const fail = (error: unknown) => stop.abort(error);

  let sides: Sides | undefined;
  try {
    sides = await openSides(connections, note, fail, stop.signal);
    const compared = compareAll(sides, options, { run, resumed, notes, note, fail, stop: stop.signal, started });
    // Not `compared` alone: ioredis never answers a command of a connection that is given up just while it connects anew.
    return await Promise.race([compared, stopped(stop.signal)]);
  } catch (error) {
    // A stop closes the connections, and what then fails says only that: the reason of the stop is the cause.
    throw run.signal?.aborted ? run.signal.reason : lossOf(stop.signal.aborted ? stop.signal.reason : error, sides);
  } finally {
    run.signal?.removeEventListener('abort', onAbort);
    // Ends what may still be under way after a failure.
    stop.abort(new Error('the compare has ended'));
    sides?.close();
  }
}

/** Rejects with the signal's reason, once it is aborted. */
async function stopped(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort');
  throw signal.reason;
}

interface Frame {
  run: CompareRun;
  resumed: CompareCheckpoint | undefined;
  notes: Set<string>;
  note: (text: string) => void;
  fail: (error: unknown) => void;
  stop: AbortSignal;
  started: number;
}

async function compareAll(sides: Sides, options: CompareOptions, frame: Frame): Promise<CompareResult> {
  const { notes, note, fail, stop, run } = frame;
  const { source, target } = sides;
  const kept = ofTopology(frame.resumed, sides.topology, note);
  const keptNode = kept && sides[kept.phase].nodes.find(({ id }) => id === kept.cluster?.node);
  const resumed = kept && continued(kept, (keptNode ?? sides[kept.phase].first).runId, note);
  const wait = (ms: number): Promise<void> => sleep(ms, undefined, { signal: stop });
  const elapsedMs = () => Math.round((resumed?.elapsedMs ?? 0) + performance.now() - frame.started);
  const knowsOffsets = source.able('info') && target.able('info');
  if (!knowsOffsets) note('INFO is refused: whether the target lags behind was not known, rereads only waited');
  const inSync = async () => {
    // The nodes of a cluster are primaries: no offset tells what they have of the other side.
    if (!knowsOffsets || target.cluster) return false;
    return caughtUp(source.first.aside, target.first.aside, options.catchUpTimeoutMs ?? CATCH_UP_MS, wait);
  };
  // A target in the middle of a full sync serves old data or none: nothing is compared before that is over.
  await inSync();

  const bothAble = (able: 'pexpiretime' | 'dump' | 'memoryUsage') => source.able(able) && target.able(able);
  const judge = new Judge(options.ttlToleranceMs, bothAble('pexpiretime'));
  const quick = bothAble('dump') && bothAble('memoryUsage');
  const depth = new BulkDepth(!options.values ? 'meta' : quick ? 'quick' : 'typed');

  const done = [...(resumed?.done ?? [])];
  const at: { db: number; phase: Phase; total: number; node: Node; nodesDone: string[] } = {
    db: resumed?.db ?? 0,
    phase: resumed?.phase ?? 'source',
    total: 0,
    node: keptNode ?? sides[resumed?.phase ?? 'source'].first,
    nodesDone: [...(resumed?.cluster?.done ?? [])],
  };
  const topology = topologyDigest(sides.topology);
  const pace = new Pace();
  const sizes = new Sizes();
  const checkpoint = (): CompareCheckpoint => ({
    version: 1,
    options: optionsDigest(options),
    done: [...done],
    db: at.db,
    phase: at.phase,
    cursor: ledger.cursor,
    server: at.node.runId,
    keysDone: ledger.keysDone,
    tally: { ...ledger.totals },
    passStart: ledger.passStart,
    ...(topology === undefined ? {} : { cluster: { topology, done: [...at.nodesDone], node: at.node.id } }),
    examples: keptExamples(ledger.examples),
    notes: keptNotes(notes),
    elapsedMs: elapsedMs(),
  });
  const leftIn = (phase: Phase) => sizes.left(phase, at, ledger.keysDone, done);
  let reportedAt = 0;
  const report = () => {
    const now = performance.now();
    if (!run.onProgress || now - reportedAt < (options.progressIntervalMs ?? 500) || stop.aborted) return;
    reportedAt = now;
    run.onProgress({
      db: at.db,
      phase: at.phase,
      node: { at: at.nodesDone.length + 1, of: sides[at.phase].nodes.length },
      keysDone: ledger.keysDone,
      keysTotal: Math.max(at.total, ledger.keysDone),
      keysPerSecond: pace.mark(at.phase, ledger.keysDone),
      etaMs: pace.etaMs({ source: leftIn('source'), target: leftIn('target') }),
      differences: differencesIn(ledger.totals),
      checkpoint: checkpoint(),
    });
  };
  const guarded = () => {
    try {
      report();
    } catch (error) {
      fail(error);
    }
  };
  const begin = resumed ?? { tally: emptyTally(), examples: [], cursor: '0', keysDone: 0 };
  const ledger = new Ledger(begin, options.maxReported, guarded);
  const patience = {
    caughtUp: inSync,
    wait,
    rereadDelayMs: options.rereadDelayMs,
    rereadTimes: options.rereadTimes,
  };
  const examiner = new Examiner({ sides, judge, ledger, patience, depth, values: options.values, note, onError: fail });
  const ignored = matcher([...ALWAYS_IGNORED, ...options.ignore]);
  const sampled = options.mode === 'sample' ? sampler(options.sampleRatio ?? 1) : () => true;
  const context = {
    sides,
    judge,
    ledger,
    examiner,
    depth,
    pages: new Crew(PAGES_AT_ONCE, fail),
    throttle: new Throttle(options.maxKeysPerSecond),
    wanted: (key: Buffer) => sampled(key) && !ignored(key),
    wait,
    signal: stop,
    scanCount: options.scanCount ?? 1000,
    note,
  };
  /** All of one phase, node by node. */
  const nodePasses = async (db: number, phase: Phase, goesOn: boolean) => {
    for (const node of sides[phase].nodes) {
      if (at.nodesDone.includes(node.id)) continue;
      const unfinished = goesOn && node === keptNode;
      if (sides[phase].cluster && !unfinished) ledger.startNode();
      at.node = node;
      await runPass(context, db, phase, node, ledger.cursor);
      await requireSteady(sides);
      at.nodesDone.push(node.id);
    }
  };
  const passes = async (db: number, continuedIn: Phase | undefined) => {
    await selectDatabase(sides, db);
    await sizes.measure(sides, db);
    for (const phase of ['source', 'target'] as const) {
      if (phase === 'source' && continuedIn === 'target') continue;
      Object.assign(at, { db, phase, total: sizes.of(phase, db) });
      if (phase !== continuedIn) {
        ledger.startPass();
        at.nodesDone = [];
      }
      pace.startPhase();
      await nodePasses(db, phase, phase === continuedIn);
    }
    done.push(db);
  };

  if (resumed && !done.includes(resumed.db)) await passes(resumed.db, resumed.phase);
  // The list is read again after each database: a moving source may begin to use another one.
  for (;;) {
    const databases = options.databases ?? (await databasesOf(sides));
    for (const db of databases) {
      if (sizes.has(db)) continue;
      // Of one that comes later, for the time left.
      await selectDatabase(sides, db);
      await sizes.measure(sides, db);
    }
    const next = databases.find((db) => !done.includes(db));
    if (next === undefined) break;
    await passes(next, undefined);
  }
  stop.throwIfAborted();
  return {
    ...ledger.totals,
    databases: done.sort((a, b) => a - b),
    examples: ledger.examples,
    durationMs: elapsedMs(),
    notes: [...notes].sort(),
    equal: differencesIn(ledger.totals) + ledger.totals.uncompared === 0,
  };
}
