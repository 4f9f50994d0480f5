/** Which schemas are the user's own: SQL that every reader of the catalog shares, so that they all see the same tables. */
import { OWN_SCHEMA } from '../../spec/postgres-plan.ts';

/** On an alias of pg_namespace. */
export function isUserSchema(alias: string): string {
  return `(${alias}.nspname !~ '^pg_' AND ${alias}.nspname <> 'information_schema' AND ${alias}.nspname <> '${OWN_SCHEMA}')`;
}

/** Members of an extension come with it, and are no tables of the user's; on an alias of pg_class. */
export function isNoExtensionMember(alias: string, catalog = 'pg_class'): string {
  return `NOT EXISTS (SELECT 1 FROM pg_depend ext
    WHERE ext.classid = '${catalog}'::regclass AND ext.objid = ${alias}.oid AND ext.deptype = 'e')`;
}

/** DMS's own tables (awsdms_heartbeat, awsdms_ddl_audit, awsdms_apply_exceptions, …); on an alias of pg_class. */
export function isNoDmsTable(alias: string): string {
  return `${alias}.relname !~ '^awsdms_'`;
}
