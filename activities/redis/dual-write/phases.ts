/** The changes of phase for which no write has to be held. Each may run twice, and says what it found. */
import type { DualControl } from '../../../spec/dual-write.ts';
import { ErrorType } from '../../../spec/errors.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import { permanent } from '../../errors.ts';
import { requireEpoch } from './acks.ts';
import { withControl, type ControlKey } from './control.ts';
import { releaseHold } from './hold.ts';
import { memoKey } from './memo.ts';
import { copyPhase } from './target-copy.ts';
import { DualSession } from './session.ts';

export interface PhaseNow {
  epoch: number;
  phase: string;
}

export const phaseNow = ({ epoch, phase }: DualControl): PhaseNow => ({ epoch, phase });

/**
 * Phase `both`. What an earlier run of this migration left at `source` or `both` is taken over.
 * @throws cutover.NotOurs where the application is further than that
 */
export async function beginDualWrite({ migration }: { migration: RedisDualWrite }): Promise<PhaseNow> {
  return withControl(migration, async (key) => {
    const { control } = await key.read();
    const from = control.phase === 'hold' && control.holdFrom === 'both' ? await releaseHold(key) : control;
    if (from.phase !== 'source' && from.phase !== 'both') throw tooFar(migration, from);
    await rememberTarget(key);
    const { poll: pollMs, lease: leaseMs, writeTimeout: writeTimeoutMs } = migration.timing;
    return phaseNow(await key.change(from, { phase: 'both', reads: 'source', pollMs, leaseMs, writeTimeoutMs }));
  });
}

const tooFar = (migration: RedisDualWrite, { phase }: DualControl) =>
  permanent(
    ErrorType.notOurs,
    `the application is in phase ${phase} already, by an earlier run of migration ${migration.id}`,
    {
      remedy: `the target is the authority: read docs/redis-dual-write.md, "a run that was ended at target-first"; for another migration choose another id`,
    },
  );

/** Before the application writes there for the first time. */
async function rememberTarget(key: ControlKey): Promise<void> {
  const { migration, redis } = key;
  if ((await redis.exists(memoKey(migration.id))) > 0) return;
  const session = await DualSession.open(migration, 'source');
  try {
    const databases = await session.databases(session.other);
    if (databases.length > 0 && !migration.allowNonEmptyTarget) {
      throw permanent(ErrorType.invalid, `the target is not empty: it has keys in database ${databases.join(', ')}`, {
        remedy: 'empty it (FLUSHALL), or set allowNonEmptyTarget: true: what the source lacks is deleted there',
      });
    }
    await redis.set(memoKey(migration.id), databases.length > 0 ? 'had keys' : 'empty', 'NX');
  } finally {
    session.close();
  }
}

/**
 * Phase `source`, from wherever the source is still the authority. Where no phase was ever set, none is.
 * @throws cutover.Invalid where the target is the authority: its writes would be lost
 */
export async function sourceOnlyDual({ migration }: { migration: RedisDualWrite }): Promise<PhaseNow> {
  return withControl(migration, async (key) => {
    const { control } = await key.read();
    if (control.epoch === 0) return phaseNow(control);
    const from = control.phase === 'hold' && control.holdFrom === 'both' ? await releaseHold(key) : control;
    if (from.phase !== 'source' && from.phase !== 'both') throw targetIsRight(from);
    return phaseNow(await key.change(from, { phase: 'source', reads: 'source' }));
  });
}

export const targetIsRight = ({ phase }: DualControl) =>
  permanent(
    ErrorType.invalid,
    `the application is in phase ${phase}: the target is right, and the source may lack what it took`,
    { remedy: 'the way back leads over a hold of the writes (stepping back); see docs/redis-dual-write.md' },
  );

/** Phase `target`: from here there is no way back. */
export async function sourceOffDual({
  migration,
  epoch,
}: {
  migration: RedisDualWrite;
  epoch: number;
}): Promise<PhaseNow> {
  return withControl(migration, async (key) => {
    const { control } = await key.read();
    // An earlier attempt was given up after its change had been made.
    if (control.phase === 'target' && control.epoch === epoch + 1) return phaseNow(control);
    requireEpoch(control, epoch);
    await copyPhase(migration, 'target');
    return phaseNow(await key.change(control, { phase: 'target', reads: 'target' }));
  });
}
