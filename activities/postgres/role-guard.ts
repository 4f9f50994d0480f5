/** Who must not be fenced, and who must not be connected while the fence is up. */
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import { permanent } from '../errors.ts';
import { describe, sessionsOfOthers } from './sessions.ts';

/** The roles that DMS itself logs in with on that side. */
function engineRole(migration: Postgres, side: 'source' | 'target'): string {
  const { sourceEndpoint, targetEndpoint } = migration.replication;
  return (side === 'source' ? sourceEndpoint : targetEndpoint).user ?? migration[side].user;
}

/**
 * @throws cutover.Invalid where fencing would shut out the worker or DMS; cutover.NotFound where a role is not there;
 *   cutover.Denied where we may not change a role that is a superuser
 */
export async function guardRoles(client: pg.ClientBase, migration: Postgres, side: 'source' | 'target'): Promise<void> {
  const { applicationRoles } = migration.cutover;
  const { rows } = await client.query<{ role: string; superuser: boolean; own: boolean; may: boolean }>(
    `SELECT rolname::text AS role, rolsuper AS superuser,
            rolname IN (session_user, current_user) AS own,
            (SELECT me.rolsuper FROM pg_roles me WHERE me.rolname = current_user) AS may
       FROM pg_roles WHERE rolname = ANY($1)`,
    [applicationRoles],
  );
  const found = new Set(rows.map(({ role }) => role));
  const missing = applicationRoles.filter((role) => !found.has(role));
  if (missing.length > 0 && side === 'source') {
    throw permanent(ErrorType.notFound, `there are no such roles on the source: ${missing.join(', ')}`, {
      remedy: 'mend cutover.applicationRoles in the file: SELECT rolname FROM pg_roles WHERE rolcanlogin',
    });
  }
  const engine = engineRole(migration, side);
  const shut = rows.find(({ role, own }) => own || role === engine);
  if (shut) {
    const whose = shut.own ? 'the worker itself' : 'DMS';
    throw permanent(ErrorType.invalid, `${shut.role} is the role of ${whose} on the ${side}: it must not be fenced`, {
      remedy: `give ${whose} a role of its own, which the application does not use`,
    });
  }
  const above = rows.filter(({ superuser, may }) => superuser && !may).map(({ role }) => role);
  if (above.length > 0) {
    throw permanent(
      ErrorType.denied,
      `${above.join(', ')} is a superuser on the ${side}: only another superuser may fence it, and the worker is none`,
      { remedy: `ALTER ROLE ${above[0]} NOSUPERUSER, or let the worker use a superuser of its own` },
    );
  }
}

/**
 * A session of a role that is in no list could go on writing behind the fence.
 * @throws cutover.Invalid, naming the sessions
 */
export async function refuseOthers(client: pg.ClientBase, migration: Postgres): Promise<void> {
  const { applicationRoles, ignoreRoles } = migration.cutover;
  const spared = [...applicationRoles, ...ignoreRoles, engineRole(migration, 'source'), migration.source.user];
  const others = await sessionsOfOthers(client, spared);
  if (others.length === 0) return;
  throw permanent(ErrorType.invalid, `other roles are connected to the source, and may write: ${describe(others)}`, {
    remedy:
      'name each role under cutover.applicationRoles (it is fenced), or under cutover.ignoreRoles where it certainly writes nothing; or end its sessions',
  });
}

/**
 * A prepared transaction can be committed by whoever comes after the fence.
 * @throws cutover.Invalid, naming them
 */
export async function refusePrepared(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ gid: string; owner: string }>(
    `SELECT gid, owner::text AS owner FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT 5`,
  );
  if (rows.length === 0) return;
  const named = rows.map(({ gid, owner }) => `${gid} (of ${owner})`).join(', ');
  throw permanent(ErrorType.invalid, `there are prepared transactions on the source: ${named}`, {
    remedy: 'end each: COMMIT PREPARED … or ROLLBACK PREPARED …',
  });
}
