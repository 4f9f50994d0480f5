/** Who is at the keyboard, for the migration's record: `$CUTOVER_USER`, or user@host. */
import { hostname, userInfo } from 'node:os';

export function operatorName(environment: NodeJS.ProcessEnv = process.env): string {
  const given = environment['CUTOVER_USER']?.trim();
  return given || `${userName()}@${hostname()}`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container the uid often has no entry in /etc/passwd, and Node throws.
    return `uid-${process.getuid?.() ?? 'unknown'}`;
  }
}
