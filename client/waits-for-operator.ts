/** Does it go on by itself, or does it wait for a person? */
import type { MigrationStatus } from '../spec/status.ts';

/**
 * True where nothing happens until an operator acts. A gate that is not ready yet, or opens in a window that is still
 * to come, needs nobody; a pause does, since nothing but `resume` ends it.
 */
export function waitsForOperator(status: MigrationStatus, now = Date.now()): boolean {
  switch (status.phase) {
    case 'needs-operator':
    case 'in-doubt':
    case 'paused':
      return true;
    case 'waiting': {
      const { gate } = status;
      if (!gate?.ready) return false;
      return gate.opensAt === undefined || (gate.closesAt !== undefined && Date.parse(gate.closesAt) <= now);
    }
    default:
      return false;
  }
}
