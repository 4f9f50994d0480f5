/** Engine versions: which is lower, which parameter group family one belongs to. Pure. */

/** Below 0 where `a` is lower; by numbers, `7.1` is above `7.0.7`. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('.').map((part) => Number.parseInt(part, 10) || 0));
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** As CreateReplicationGroup takes it: since Redis 6 AWS chooses the patch itself, and refuses to be told one. */
export function askedVersion(version: string): string {
  const [major = '', minor] = version.split('.');
  return Number(major) >= 6 && minor !== undefined ? `${major}.${minor}` : version;
}

/** `redis7`, `redis6.x`, `redis5.0`, `valkey8`. */
export function familyOf(engine: string, version: string): string {
  const [major = '', minor = '0'] = version.split('.');
  if (engine === 'valkey') return `valkey${major}`;
  if (Number(major) >= 7) return `redis${major}`;
  return Number(major) === 6 ? 'redis6.x' : `redis${major}.${minor}`;
}

/** Why a snapshot of one engine can't be restored by the other, or by a lower version; undefined where it can. */
export function downgrade(from: { engine: string; version: string }, to: typeof from): string | undefined {
  if (from.engine === 'valkey' && to.engine === 'redis') return 'a snapshot of Valkey can’t be restored by Redis';
  if (compareVersions(askedVersion(to.version), askedVersion(from.version)) >= 0) return undefined;
  return `${to.engine} ${to.version} is lower than the snapshot's ${from.engine} ${from.version}`;
}
