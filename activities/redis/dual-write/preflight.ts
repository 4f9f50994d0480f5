/** The preflight of `redis-dual-write`. Changes nothing. */
import { cancellation } from '../../preflight/cancellation.ts';
import type { RedisDualWrite } from '../../../spec/kind-redis-dual-write.ts';
import { summarisePreflight, type PreflightReport } from '../../../spec/preflight.ts';
import { runChecks } from '../../preflight/run-checks.ts';
import { redisProbe } from '../preflight/probe.ts';
import { sideNodes } from './nodes.ts';
import { applicationChecks } from './application-checks.ts';
import type { DualContext } from './check-context.ts';
import { serverChecks } from './server-checks.ts';

export interface DualPreflightInput {
  migration: RedisDualWrite;
  /** Right before writes are held: the checks that take milliseconds. */
  cheap?: boolean;
}

/**
 * It never throws for what it finds: a side that is down is a report with one `fail` and many `unknown`.
 * @throws the cancellation's reason, where the activity is cancelled
 */
export async function preflightRedisDualWrite({ migration, cheap }: DualPreflightInput): Promise<PreflightReport> {
  const name = `cutover:${migration.id}:preflight`;
  const source = redisProbe('source', migration.source, name);
  const target = redisProbe('target', migration.target, name);
  const context: DualContext = {
    migration,
    source,
    target,
    nodes: { source: sideNodes(source, name), target: sideNodes(target, name) },
    moment: cheap ? 'before-hold' : 'start',
  };
  const signal = cancellation();
  try {
    const checks = [...serverChecks, ...applicationChecks].filter((check) => !cheap || check.cheap);
    return summarisePreflight(await runChecks(checks, context, signal ? { signal } : {}));
  } finally {
    for (const side of ['source', 'target'] as const) {
      context.nodes[side].close();
      context[side].close();
    }
  }
}
