/** Which backups go. Pure. */
import { DateTime } from 'luxon';
import type { Retention, RetentionCandidate, RetentionDecision } from '../../spec/retention.ts';

interface Dated {
  index: number;
  id: string;
  at: DateTime;
}

/** A rule keeps the newest complete backup of each of the newest `count` buckets that have one, as restic and borg do. */
interface Rule {
  name: string;
  count: number;
  bucket: (at: DateTime) => string;
}

function rulesOf(policy: Retention): Rule[] {
  return [
    { name: 'daily', count: policy.daily ?? 0, bucket: (at) => at.toFormat('yyyy-MM-dd') },
    // The ISO week's own year: the 1st of January may belong to week 53 of the year before.
    { name: 'weekly', count: policy.weekly ?? 0, bucket: (at) => at.toFormat("kkkk-'W'WW") },
    { name: 'monthly', count: policy.monthly ?? 0, bucket: (at) => at.toFormat('yyyy-MM') },
    { name: 'yearly', count: policy.yearly ?? 0, bucket: (at) => at.toFormat('yyyy') },
  ];
}

/** Newest first. At equal times by id, so that two runs over the same backups decide the same. */
function newestFirst(a: Dated, b: Dated): number {
  return b.at.toMillis() - a.at.toMillis() || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

/**
 * Decides about every candidate, in the candidates' order, and says why. They have to be backups of ONE source: "the
 * last complete one" is the last of those that are handed in.
 *
 * - Only complete backups count, for every rule. A rule's buckets are counted where they have a backup, so a week
 *   without any does not use up the week before it.
 * - The newest complete one is kept whatever the policy says.
 * - One under way is never deleted. One that is incomplete goes once a strictly newer complete one exists: until then it
 *   may be the only thing there is to look at.
 * - One whose time can't be read is kept: nothing can be said about it.
 *
 * Throws a RangeError where the policy's time zone is none: luxon would answer NaN for every day, and all backups would
 * land in one bucket.
 */
export function planRetention(candidates: readonly RetentionCandidate[], policy: Retention): RetentionDecision[] {
  if (!DateTime.utc().setZone(policy.timeZone).isValid) {
    throw new RangeError(`retention.timeZone: "${policy.timeZone}" is not a time zone, so no day begins or ends in it`);
  }
  const times = candidates.map(({ createdAt }) => DateTime.fromISO(createdAt, { zone: policy.timeZone }));
  const complete = candidates
    .map(({ id }, index): Dated => ({ index, id, at: times[index]! }))
    .filter(({ index, at }) => at.isValid && candidates[index]!.complete && !candidates[index]!.pending)
    .sort(newestFirst);
  const keptFor = reasonsToKeep(complete, policy);
  const newest = complete[0];

  return candidates.map((candidate, index): RetentionDecision => {
    const { id } = candidate;
    if (candidate.pending) return { id, keep: true, because: 'under way' };
    const at = times[index]!;
    if (!at.isValid) return { id, keep: true, because: `its time "${candidate.createdAt}" can't be read` };
    if (!candidate.complete) {
      return newest && newest.at.toMillis() > at.toMillis()
        ? { id, keep: false, because: `incomplete, and ${newest.id} is newer and complete` }
        : { id, keep: true, because: 'incomplete, but no complete one is newer' };
    }
    const reasons = keptFor.get(index);
    return reasons
      ? { id, keep: true, because: reasons.join(', ') }
      : { id, keep: false, because: `no rule keeps it (${described(policy)})` };
  });
}

/** By the candidate's index: an id may be given twice. */
function reasonsToKeep(complete: readonly Dated[], policy: Retention): Map<number, string[]> {
  const reasons = new Map<number, string[]>();
  const keep = ({ index }: Dated, because: string) => reasons.set(index, [...(reasons.get(index) ?? []), because]);

  complete.slice(0, policy.keepLast ?? 0).forEach((one, place) => keep(one, `keepLast ${place + 1}`));
  for (const { name, count, bucket } of rulesOf(policy)) {
    const seen = new Set<string>();
    for (const one of complete) {
      const key = bucket(one.at);
      if (seen.has(key)) continue;
      if (seen.size >= count) break;
      seen.add(key);
      keep(one, `${name} ${key}`);
    }
  }
  // After the rules, so that its own reason is told where there is one.
  const newest = complete[0];
  if (newest && !reasons.has(newest.index)) keep(newest, 'the last complete one');
  return reasons;
}

/** `keepLast 3, daily 7, in Europe/Berlin`. */
function described(policy: Retention): string {
  const rules = [{ name: 'keepLast', count: policy.keepLast ?? 0 }, ...rulesOf(policy)].filter(
    ({ count }) => count > 0,
  );
  return `${rules.map(({ name, count }) => `${name} ${count}`).join(', ') || 'keeps nothing'}, in ${policy.timeZone}`;
}
