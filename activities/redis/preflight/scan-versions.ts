/** Which server can RESTORE what another one DUMPs. Pure. */
import { atLeast, type EngineVersion } from './versions.ts';

/**
 * The version in the footer of a DUMP, which is that of the RDB format: Redis 5.0–6.2 write 9, 7.0 writes 10, 7.2 and Valkey
 * 7.2–8 write 11, Redis 7.4 and later 12 and more, Valkey 9 writes 80. A server restores its own and older ones; Valkey
 * refuses 12 to 79 as foreign.
 */
function dumpVersion(version: EngineVersion): number {
  if (version.engine === 'valkey') return atLeast(version, 9) ? 80 : 11;
  const known: readonly [major: number, minor: number, dump: number][] = [
    [7, 4, 12],
    [7, 2, 11],
    [7, 0, 10],
    [5, 0, 9],
    [4, 0, 8],
    [3, 2, 7],
  ];
  return known.find(([major, minor]) => atLeast(version, major, minor))?.[2] ?? 6;
}

/** Undefined, or why the target refuses what the source dumps. */
export function whyNotRestore(source: EngineVersion, target: EngineVersion): string | undefined {
  if (source.engine === target.engine && atLeast(target, source.major, source.minor)) return undefined;
  const [from, to] = [dumpVersion(source), dumpVersion(target)];
  if (target.engine === 'valkey' && source.engine === 'redis' && from > 11) {
    return `Valkey refuses the DUMP of Redis 7.4 and later`;
  }
  // Above 11 the table does not know every minor version's own.
  if (from > to || (from === to && from > 11)) {
    return `the target is older than the source: ${target.text} refuses the DUMP of ${source.text}`;
  }
  return undefined;
}
