/** Mends as scripts: SQL with every name quoted, commands of the AWS CLI. A password is never in one. */
import { escapeIdentifier, escapeLiteral } from 'pg';
import type { Fix } from '../../../spec/preflight.ts';
import type { PostgresContext } from './context.ts';
import type { PostgresProbe, Side } from './probe.ts';

export const ident = (name: string) => escapeIdentifier(name);
export const literal = (text: string) => escapeLiteral(text).trim();
export const relation = ({ schema, name }: { schema: string; name: string }) => `${ident(schema)}.${ident(name)}`;

export const sql = (side: Side, ...lines: string[]): Fix => ({ side, script: lines.join('\n') });
export const shell = (side: 'aws' | 'worker', ...lines: string[]): Fix => ({ side, script: lines.join('\n') });

/** A name may have a line break in it, which must not end the comment. */
export function comment(text: string): string {
  return text
    .split(/\r\n|\r|\n/)
    .map((line) => `-- ${line}`)
    .join('\n');
}

/** A line that destroys something, or needs a decision first: whoever runs the script unread must not run it. */
export const undecided = comment;

export const DECIDE = '-- take the dashes away from what is to be done:';

/** Quoted for a shell. */
export function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** `aws dms …` in the migration's region. */
export function awsDms({ migration }: PostgresContext, ...words: string[]): string {
  const { region } = migration.replication.aws;
  return ['aws', 'dms', ...words, ...(region ? ['--region', region] : [])].map(word).join(' ');
}

/** How to look at something by hand. */
export const look = (side: Side, query: string) => `on the ${side}, in psql: ${query}`;

/**
 * A setting of the server, the way it is changed there: ALTER SYSTEM, or the parameter group on RDS.
 * @param restart The setting is read at the server's start alone.
 */
export async function setSetting(
  probe: PostgresProbe,
  name: string,
  value: string,
  options: { restart?: boolean; rdsName?: string } = {},
): Promise<Fix> {
  if (await probe.isRds().catch(() => false)) return rdsParameter(probe, options.rdsName ?? name, value);
  const change = `ALTER SYSTEM SET ${ident(name)} = ${literal(value)};`;
  return options.restart
    ? sql(probe.side, change, '-- and restart the server: it reads this setting at its start')
    : sql(probe.side, change, 'SELECT pg_reload_conf();');
}

/** RDS has no ALTER SYSTEM. A default parameter group can't be changed, which the CLI then says. */
export function rdsParameter(probe: PostgresProbe, name: string, value: string): Fix {
  const query = `DBInstances[?Endpoint.Address=='${probe.endpoint.host}'].DBParameterGroups[0].DBParameterGroupName`;
  return shell(
    'aws',
    `# the ${probe.side}; a reboot takes it over where the parameter is a static one`,
    `group=$(aws rds describe-db-instances --query ${word(query)} --output text)`,
    `aws rds modify-db-parameter-group --db-parameter-group-name "$group" --parameters ${word(
      `ParameterName=${name},ParameterValue=${value},ApplyMethod=pending-reboot`,
    )}`,
  );
}

/** An entry of the migration file, as the operator writes it. */
export function fileEntries(list: 'copyByHand' | 'leaveOut', tables: { schema: string; name: string }[]): string {
  const part = (text: string) => (/^[^."\s*]+$/.test(text) ? text : `"${text.replaceAll('"', '""')}"`);
  // JSON strings are YAML, whatever stands in the name.
  return `in the file: tables: { ${list}: [${tables.map((t) => JSON.stringify(`${part(t.schema)}.${part(t.name)}`)).join(', ')}] }`;
}
