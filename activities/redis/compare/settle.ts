/** Decides whether a difference on moving data is one: the rule that keeps a compare of a live system free of false alarms. */

/** What is compared (a key, a field of a hash, an entry of a stream) and how each side is read. */
export interface Readings<C, S> {
  source: (cells: C[]) => Promise<S[]>;
  target: (cells: C[]) => Promise<S[]>;
  /** Whether the two sides agree, within the tolerances. */
  same: (source: S, target: S) => boolean;
  /** Whether two readings of one side are the same state. */
  unchanged: (before: S, after: S) => boolean;
}

export interface Patience {
  /** Returns true when the target has everything the source had when this was called; false, at once, where that can't be known. */
  caughtUp: () => Promise<boolean>;
  wait: (ms: number) => Promise<void>;
  rereadDelayMs: number;
  rereadTimes: number;
  /** Told how many cells are read again. */
  onReread: (cells: number) => void;
}

export interface Verdict<S> {
  outcome: 'same' | 'differs' | 'unsettled';
  source: S;
  target: S;
  /** Settled by the first look, without waiting: the bulk reading was a false alarm. */
  atOnce: boolean;
}

interface Watched<C, S> {
  cell: C;
  index: number;
  sources: S[];
  targets: S[];
  /** For each of the target's states, the first of the source's states that it may be: older ones it had passed. */
  since: number[];
  moving: boolean;
}

/** A reading that is missing must stop the compare, not pass for an equal one. */
function nth<T>(readings: readonly T[], index: number): T {
  const reading = readings[index];
  if (reading === undefined) throw new Error(`compare: reading ${index} of ${readings.length} is missing`);
  return reading;
}

/** Readings in quick succession of a cell that never stands still. */
const QUICK_LOOKS = 20;

/**
 * 1. Both sides are read at once: agreement settles it.
 * 2. Then, after a pause, `rereadTimes` times: source, wait until the target has caught up, target, source. If the target agrees with either
 *    reading of the source, it is the same. If the source stood still around the target's reading, the target had all of it
 *    and still has something else: in the last round, that is a difference, however far replication lags.
 * 3. A cell whose source never stands still (a hot counter) is looked at in quick succession: the same, if the target shows a
 *    state that the source showed too, and not only before the target had caught up with a later one. If the target never changed while the source did, it does not follow: a difference.
 *    If both moved and never met, it is unsettled.
 */
export async function settle<C, S>(cells: C[], readings: Readings<C, S>, patience: Patience): Promise<Verdict<S>[]> {
  const verdicts: Verdict<S>[] = [];
  let open: Watched<C, S>[] = cells.map((cell, index) => ({
    cell,
    index,
    sources: [],
    targets: [],
    since: [],
    moving: false,
  }));

  const conclude = (watched: Watched<C, S>, outcome: Verdict<S>['outcome'], atOnce = false) => {
    verdicts[watched.index] = {
      outcome,
      source: nth(watched.sources, watched.sources.length - 1),
      target: nth(watched.targets, watched.targets.length - 1),
      atOnce,
    };
  };
  /** One reading of what is open: source, target, source; keeps open what is still undecided. */
  const look = async () => {
    const asked = open.map(({ cell }) => cell);
    const before = await readings.source(asked);
    const known = await patience.caughtUp();
    const [target, after] = [await readings.target(asked), await readings.source(asked)];
    open = open.filter((watched, i) => {
      const [s1, t, s2] = [nth(before, i), nth(target, i), nth(after, i)];
      watched.since.push(known ? watched.sources.length : 0);
      watched.sources.push(s1, s2);
      watched.targets.push(t);
      watched.moving = !readings.unchanged(s1, s2);
      const agreed = readings.same(s1, t) || readings.same(s2, t);
      if (agreed) conclude(watched, 'same');
      return !agreed;
    });
  };

  const asked = cells;
  const [source, target] = await Promise.all([readings.source(asked), readings.target(asked)]);
  open = open.filter((watched, i) => {
    const [s, t] = [nth(source, i), nth(target, i)];
    watched.sources.push(s);
    watched.targets.push(t);
    watched.since.push(0);
    const agreed = readings.same(s, t);
    if (agreed) conclude(watched, 'same', true);
    return !agreed;
  });

  for (let round = 0; round < patience.rereadTimes && open.length > 0; round++) {
    await patience.wait(patience.rereadDelayMs);
    patience.onReread(open.length);
    await look();
  }
  for (const watched of open) if (!watched.moving) conclude(watched, 'differs');
  open = open.filter(({ moving }) => moving);

  for (let round = 0; round < QUICK_LOOKS && open.length > 0; round++) await look();
  for (const watched of open) {
    const follows = watched.targets.some((state) => !readings.unchanged(state, nth(watched.targets, 0)));
    const met = watched.targets.some((t, i) =>
      watched.sources.some((s, j) => j >= nth(watched.since, i) && readings.same(s, t)),
    );
    conclude(watched, !follows ? 'differs' : met ? 'same' : 'unsettled');
  }
  return verdicts;
}
