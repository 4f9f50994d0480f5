/**
 * What the library `DualWriteRedis` in the applications and the workflow `redis-dual-write` agree on: key names, phases,
 * who is right in which phase, the control hash, acknowledgements, and the one script that changes the phase.
 *
 * Control hash and acknowledgements are on the SOURCE, in database 0. The journal of touched keys is on the authority, in
 * the database of the keys it names.
 */

/** Grows when the two no longer understand each other. */
export const DUAL_WRITE_PROTOCOL = 1;

export type DualSide = 'source' | 'target';

/**
 * source: only the source is written. both: source first, then target. hold: no write is sent at all. target-first: target
 * first, then source, so that stepping back loses nothing. target: the source is off, there is no way back.
 */
export type DualPhase = 'source' | 'both' | 'hold' | 'target-first' | 'target';
export const DUAL_PHASES: readonly DualPhase[] = ['source', 'both', 'hold', 'target-first', 'target'];

/** The phases a hold lies between; the phase from which it came is where it falls back to. */
export type HoldFrom = 'both' | 'target-first';

export interface DualControl {
  protocol: number;
  phase: DualPhase;
  /** Grows with every change; 0 while no control hash was ever written. */
  epoch: number;
  /**
   * Where reads go. Only in `hold` it is a choice: it is turned to the other side while nothing is written anywhere, and
   * acknowledged, before any instance may write there. Otherwise a slow instance would read stale values.
   */
  reads: DualSide;
  /** How long an instance may act on what it last read. An instance refuses reads and writes after it. */
  leaseMs: number;
  /** No write, first or second, may be under way for longer. Instances enforce it. */
  writeTimeoutMs: number;
  /** How often an instance reads the control hash. */
  pollMs: number;
  /** Only in hold. */
  holdFrom?: HoldFrom;
  /** Only in hold: after this time of the source's own clock (ms) the hold is over, and instances are back in holdFrom. */
  holdUntil?: number;
  /**
   * Only in hold, where its reads were turned to the other side and back: until this time of the source's own clock (ms) an
   * instance that has not acknowledged may still read there. Set by the script; unknown to older instances, which the
   * workflow waits for.
   */
  readsUntil?: number;
  /** Who set it: migration id and run, for people. */
  setBy?: string;
}

/** What an instance wrote of itself, as JSON, in its field of the instances hash; refreshed with every poll. */
export interface DualInstance {
  protocol: number;
  /** The newest epoch of which every write begun under an older one has ended; -1 while it has acknowledged none. */
  epoch: number;
  /** What it does under that epoch: an expired hold shows as the phase it fell back to. */
  phase: DualPhase | 'starting';
  reads: DualSide;
  /** The source's clock, ms, at the poll that wrote this; at most a round trip late, never early. */
  at: number;
  host: string;
  pid: number;
  /** Of the library. */
  version: string;
  /** Writes that wait because of a hold. */
  held: number;
  /** First and second writes that are under way. */
  pending: number;
  /** Second writes that wait for another try (policy `queue`). */
  queued: number;
  /** Second writes left to the repair, since the start. */
  recorded: number;
  /** Second writes that failed for good, since the start, whatever the policy made of it. */
  failedSecondWrites: number;
}

export const DUAL_DEFAULTS = { leaseMs: 3_000, writeTimeoutMs: 2_000, pollMs: 250 } as const;

/** Allowance for what travels in the network when times of two machines meet. */
export const DUAL_MARGIN_MS = 500;

const ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$/;

/** @throws RangeError where the id would break the hash tag or the client's name */
export function assertDualId(id: string, what = 'id'): void {
  if (!ID.test(id)) {
    throw new RangeError(
      `dual write: ${what} ${JSON.stringify(id.slice(0, 80))} must be 1 to 200 letters, digits, or . _ : - and begin with a letter or digit`,
    );
  }
}

/** All in one hash slot. @throws RangeError */
export function dualKeys(id: string): { phase: string; instances: string; touched: string } {
  assertDualId(id);
  const prefix = `cutover:{dual:${id}}:`;
  return { phase: `${prefix}phase`, instances: `${prefix}instances`, touched: `${prefix}touched` };
}

/**
 * CLIENT SETNAME of every connection of an instance, on both servers. An instance that was declared gone is cut off by it
 * (CLIENT LIST, CLIENT KILL ID): a process that was stopped between its look at the lease and its write then writes to a
 * dead socket.
 */
export function dualClientName(id: string, instance: string): string {
  return `cutover-dual:${id}:${instance}`;
}

/** The side that is right: written first, and the one that is read. */
export function authorityOf(control: Pick<DualControl, 'phase' | 'holdFrom'>): DualSide {
  switch (control.phase) {
    case 'source':
    case 'both':
      return 'source';
    case 'hold':
      return control.holdFrom === 'target-first' ? 'target' : 'source';
    case 'target-first':
    case 'target':
      return 'target';
  }
}

export const otherSide = (side: DualSide): DualSide => (side === 'source' ? 'target' : 'source');

/** Are writes sent to the side that is not the authority, and recorded in the journal? */
export function writesBoth(phase: DualPhase): boolean {
  return phase === 'both' || phase === 'target-first';
}

/** What holds where nothing was ever written: the application writes the source, as it did before the library. */
export function noControl(): DualControl {
  return { protocol: DUAL_WRITE_PROTOCOL, phase: 'source', epoch: 0, reads: 'source', ...DUAL_DEFAULTS };
}

/**
 * What a control means at this time of the source's clock (ms). A hold that ran out is the phase from which it came, and
 * no script will ever move on from it forward. If reads had been turned already, writes wait for one more lease, also where
 * they were turned back since: by then an instance that still reads from the other side has polled or refuses to read.
 */
export function effectiveControl(control: DualControl, sourceTimeMs: number): DualControl {
  if (control.phase !== 'hold' || control.holdFrom === undefined || control.holdUntil === undefined) return control;
  if (sourceTimeMs < control.holdUntil) return control;
  const back: DualControl = { ...control, reads: authorityOf(control) };
  if (sourceTimeMs < holdOver(control)) return back;
  delete back.holdFrom;
  delete back.holdUntil;
  delete back.readsUntil;
  return { ...back, phase: control.holdFrom };
}

/** From when (source's clock, ms) instances write again after a hold that ran out; Infinity if it is no hold. */
export function holdOver(control: DualControl): number {
  if (control.phase !== 'hold' || control.holdUntil === undefined) return Number.POSITIVE_INFINITY;
  const turned = control.reads === authorityOf(control) ? 0 : control.leaseMs + DUAL_MARGIN_MS;
  return Math.max(control.holdUntil + turned, control.readsUntil ?? 0);
}

/** Has the instance done what this control asks for? Only for a control that is in force (a hold not run out). */
export function acknowledges(instance: DualInstance, control: DualControl): boolean {
  return instance.epoch === control.epoch && instance.phase === control.phase && instance.reads === control.reads;
}

/** Silent: it has missed several polls. Its lease may still run. Times of the source's clock, ms. */
export function isSilent(instance: DualInstance, control: DualControl, sourceTimeMs: number): boolean {
  return sourceTimeMs - instance.at > Math.max(4 * control.pollMs, 1_000);
}

/** From when (source's clock, ms) an instance that was not heard of again can no longer read, write, or have writes under way. */
export function harmlessFrom(instance: DualInstance, control: DualControl): number {
  return instance.at + control.leaseMs + 2 * control.writeTimeoutMs + DUAL_MARGIN_MS;
}

/**
 * A journal entry older than this (ms) may be taken out after its key was copied and if its score is unchanged: no write
 * that it was recorded for can still be under way, on either side.
 */
export function journalAgeMs(control: Pick<DualControl, 'writeTimeoutMs'>): number {
  return 2 * control.writeTimeoutMs + DUAL_MARGIN_MS;
}

/** The fields of the hash, for HSET. */
export function encodeControl(control: DualControl): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const [name, value] of Object.entries(control)) if (value !== undefined) fields[name] = String(value);
  return fields;
}

/**
 * What HGETALL gave. undefined: there is no such hash.
 * @throws TypeError where a field is missing or odd: an instance must then act as if it could not read it
 */
export function decodeControl(fields: Readonly<Record<string, string>>): DualControl | undefined {
  if (Object.keys(fields).length === 0) return undefined;
  const bad = (name: string): never => {
    throw new TypeError(`dual write: field ${name} of the control hash is ${JSON.stringify(fields[name] ?? null)}`);
  };
  const whole = (name: string, least: number): number => {
    const text = fields[name] ?? '';
    const value = Number(text);
    return /^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least ? value : bad(name);
  };
  const side = fields['reads'] === 'source' || fields['reads'] === 'target' ? fields['reads'] : bad('reads');
  const phase = DUAL_PHASES.find((one) => one === fields['phase']) ?? bad('phase');
  const control: DualControl = {
    protocol: whole('protocol', 1),
    phase,
    epoch: whole('epoch', 1),
    reads: side,
    leaseMs: whole('leaseMs', 1),
    writeTimeoutMs: whole('writeTimeoutMs', 1),
    pollMs: whole('pollMs', 1),
    ...(fields['setBy'] === undefined ? {} : { setBy: fields['setBy'] }),
  };
  if (control.protocol !== DUAL_WRITE_PROTOCOL) bad('protocol');
  if (control.leaseMs <= control.pollMs) bad('leaseMs');
  if (phase !== 'hold') return side === authorityOf(control) ? control : bad('reads');
  const from = fields['holdFrom'];
  control.holdFrom = from === 'both' || from === 'target-first' ? from : bad('holdFrom');
  control.holdUntil = whole('holdUntil', 1);
  if (fields['readsUntil'] !== undefined) control.readsUntil = whole('readsUntil', 1);
  return control;
}

export function encodeInstance(instance: DualInstance): string {
  return JSON.stringify(instance);
}

/** undefined where it is not what this version writes: it must be shown as an instance that acknowledged nothing. */
export function decodeInstance(text: string): DualInstance | undefined {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof read !== 'object' || read === null) return undefined;
  const one = read as DualInstance;
  const numbers = [one.epoch, one.at, one.pid, one.held, one.pending, one.queued, one.recorded, one.failedSecondWrites];
  const whole = numbers.every((value) => typeof value === 'number' && Number.isFinite(value));
  const known = one.phase === 'starting' || DUAL_PHASES.includes(one.phase);
  const texts = typeof one.host === 'string' && typeof one.version === 'string';
  if (one.protocol !== DUAL_WRITE_PROTOCOL || !whole || !known || !texts) return undefined;
  return one.reads === 'source' || one.reads === 'target' ? one : undefined;
}

/**
 * May the phase change so? undefined, or why not. `from` is the control as it stands, not as it is in effect. What it can't
 * see is the caller's duty: every instance has acknowledged `from` before (but for source and both, which may follow each
 * other at once), and before reads are turned in a hold, both sides are equal.
 */
export function changeForbidden(
  from: DualControl,
  to: Pick<DualControl, 'phase' | 'reads' | 'holdFrom'>,
): string | undefined {
  const step = `${nameOf(from)} → ${nameOf(to)}`;
  if (to.phase !== 'hold' && to.reads !== authorityOf(to)) return `${step}: reads must be on ${authorityOf(to)}`;
  return CHANGES.has(step) ? undefined : `${step} is not a step of a dual write`;
}

const nameOf = (control: Pick<DualControl, 'phase' | 'reads' | 'holdFrom'>): string =>
  control.phase === 'hold' ? `hold(${control.holdFrom ?? '?'}, reads ${control.reads})` : control.phase;

const CHANGES: ReadonlySet<string> = new Set([
  'source → source',
  'source → both',
  'both → both',
  'both → source',
  'both → hold(both, reads source)',
  'hold(both, reads source) → both',
  'hold(both, reads source) → hold(both, reads source)',
  'hold(both, reads source) → hold(both, reads target)',
  'hold(both, reads target) → hold(both, reads source)',
  'hold(both, reads target) → target-first',
  // After it ran out, and the lease behind it: the script looks at the time.
  'hold(both, reads target) → both',
  'target-first → target-first',
  'target-first → target',
  'target-first → hold(target-first, reads target)',
  'hold(target-first, reads target) → target-first',
  'hold(target-first, reads target) → hold(target-first, reads target)',
  'hold(target-first, reads target) → hold(target-first, reads source)',
  'hold(target-first, reads source) → hold(target-first, reads target)',
  'hold(target-first, reads source) → both',
  'hold(target-first, reads source) → target-first',
]);

/** Must be changed before the hold runs out, or not at all: afterwards instances write the old authority again. */
function needsHold(from: DualControl, to: Pick<DualControl, 'phase' | 'reads'>): boolean {
  if (from.phase !== 'hold') return false;
  const old = authorityOf(from);
  return to.phase === 'hold' ? to.reads !== old : to.phase !== from.holdFrom;
}

/**
 * Where writes go on at the authority: not before this time, because others may still read from the other side. undefined:
 * at any time.
 */
function needsHoldOver(from: DualControl, to: Pick<DualControl, 'phase'>, acknowledged: boolean): number | undefined {
  if (from.phase !== 'hold' || to.phase !== from.holdFrom) return undefined;
  if (from.reads !== authorityOf(from)) return holdOver(from);
  return acknowledged ? undefined : from.readsUntil;
}

/** Are reads that were turned in a hold turned back in it? */
function turnsBack(from: DualControl, to: Pick<DualControl, 'phase' | 'reads'>): boolean {
  return from.phase === 'hold' && to.phase === 'hold' && from.reads !== authorityOf(from) && to.reads !== from.reads;
}

/**
 * Compare-and-set of the control hash: KEYS[1] the hash; ARGV: expected epoch (0: no hash), latest source time ms ('' none),
 * earliest source time ms ('' none), for how long from now (ms) others may still read from the other side ('' as the fields
 * say), then fields and values. Returns [outcome, epoch now, source time ms, readsUntil or nothing], outcome being
 * set | epoch | late | early. Run by the arguments of `changeArguments`. Needs effects replication (Redis 5 and up).
 */
export const CHANGE_PHASE_SCRIPT = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if epoch ~= tonumber(ARGV[1]) then return {'epoch', epoch, string.format('%.0f', now)} end
if ARGV[2] ~= '' and now >= tonumber(ARGV[2]) then return {'late', epoch, string.format('%.0f', now)} end
if ARGV[3] ~= '' and now < tonumber(ARGV[3]) then return {'early', epoch, string.format('%.0f', now)} end
redis.call('DEL', KEYS[1])
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'readsUntil', string.format('%.0f', now + tonumber(ARGV[4]))) end
return {'set', epoch + 1, string.format('%.0f', now), redis.call('HGET', KEYS[1], 'readsUntil')}
`;

/**
 * KEYS and ARGV of CHANGE_PHASE_SCRIPT for a change from what was read to what shall be; its epoch is set here, and
 * readsUntil here or by the script.
 * @param acknowledged every instance has acknowledged `from`: nobody reads from the other side any more
 * @throws RangeError where the step is not allowed
 */
export function changeArguments(
  id: string,
  from: DualControl,
  to: Omit<DualControl, 'epoch' | 'protocol' | 'readsUntil'>,
  acknowledged = false,
): { keys: [string]; args: string[]; control: DualControl } {
  const forbidden = changeForbidden(from, to);
  if (forbidden !== undefined) throw new RangeError(`dual write ${id}: ${forbidden}`);
  const control: DualControl = { ...to, protocol: DUAL_WRITE_PROTOCOL, epoch: from.epoch + 1 };
  delete control.readsUntil;
  if (control.phase !== 'hold') {
    delete control.holdFrom;
    delete control.holdUntil;
  }
  const back = turnsBack(from, to);
  if (control.phase === 'hold' && from.readsUntil !== undefined && !back) control.readsUntil = from.readsUntil;
  const fields = encodeControl(control);
  decodeControl(fields); // what no instance could read must not be written
  const before = needsHold(from, to) ? String((from.holdUntil ?? 0) - DUAL_MARGIN_MS) : '';
  const after = String(needsHoldOver(from, to, acknowledged) ?? '');
  const stillRead = back ? String(from.leaseMs + DUAL_MARGIN_MS) : '';
  return {
    keys: [dualKeys(id).phase],
    args: [String(from.epoch), before, after, stillRead, ...Object.entries(fields).flat()],
    control,
  };
}

/**
 * Takes a key out of the journal if it was not touched again: KEYS[1] the journal; ARGV: pairs of key and the score that was
 * read (as text, as ZRANGE WITHSCORES gave it). Returns how many were taken out. Only for entries of `journalAgeMs`.
 */
export const FORGET_TOUCHED_SCRIPT = `
local gone = 0
for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then gone = gone + redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return gone
`;
