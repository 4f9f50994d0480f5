/** Versions of Redis and Valkey, and which can follow which. Pure. */
import { CannotCheck } from '../../preflight/check.ts';

export interface EngineVersion {
  engine: 'redis' | 'valkey';
  major: number;
  minor: number;
  patch: number;
  /** As people say it: `Valkey 8.1.0`. */
  text: string;
}

const NAMES = { redis: 'Redis', valkey: 'Valkey' } as const;

/** @throws CannotCheck for a version that is not numbers (`6.x`). */
export function engineVersion(engine: string, version: string): EngineVersion {
  const kind = engine.toLowerCase() === 'valkey' ? 'valkey' : 'redis';
  const match = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(version);
  if (!match) throw new CannotCheck(`the version "${version}" of ${NAMES[kind]} is not one we can read`);
  return {
    engine: kind,
    major: Number(match[1]),
    minor: Number(match[2]),
    patch: Number(match[3] ?? 0),
    text: `${NAMES[kind]} ${version}`,
  };
}

/** From INFO server. Valkey goes on saying `redis_version:7.2.4`, so its own field counts first. */
export function versionFromInfo(info: Readonly<Record<string, string>>): EngineVersion {
  const valkey = info['valkey_version'];
  if (valkey) return engineVersion('valkey', valkey);
  const redis = info['redis_version'];
  if (!redis) throw new CannotCheck('INFO server has no redis_version');
  return engineVersion('redis', redis);
}

/** The same for whom a version that we can't read is no reason to stop. */
export function versionIfReadable(info: Readonly<Record<string, string>>): EngineVersion | undefined {
  try {
    return versionFromInfo(info);
  } catch {
    return undefined;
  }
}

/** True where the version is at least this one; of Valkey, which began at 7.2, so is any below. */
export function atLeast(version: EngineVersion, major: number, minor = 0, patch = 0): boolean {
  if (version.major !== major) return version.major > major;
  if (version.minor !== minor) return version.minor > minor;
  return version.patch >= patch;
}

/**
 * Whether a target can follow a source: undefined, or why not.
 * The RDB format is not backward compatible, and a replica that can't read one has thrown its own data away by the time
 * it says so (valkey#2588). Formats: Redis 5.0–6.2 write 9, 7.0 writes 10, 7.2 and Valkey 7.2–8.x 11, Redis 7.4 and
 * later 12 and up, which Valkey keeps free as foreign (12–79) and refuses; Valkey 9 writes 80.
 */
export function whyNotFollow(source: EngineVersion, target: EngineVersion): string | undefined {
  if (source.engine === target.engine) {
    return atLeast(target, source.major, source.minor)
      ? undefined
      : `the target is older than the source: ${target.text} can't read what ${source.text} writes`;
  }
  if (target.engine === 'valkey') {
    return atLeast(source, 7, 3) ? `Valkey refuses the RDB format of Redis 7.4 and later` : undefined;
  }
  if (atLeast(source, 8)) return `Redis can't follow Valkey 8 or later`;
  return atLeast(target, 7, 2) ? undefined : `the target is older than the source's format, that of Redis 7.2`;
}
