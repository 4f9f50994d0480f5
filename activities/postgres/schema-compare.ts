/** Are the two schemas the same? By the text that one and the same pg_dump writes for each object of either side. */
import { ErrorType } from '../../spec/errors.ts';
import type { TablePlan } from '../../spec/postgres-plan.ts';
import { permanent } from '../errors.ts';
import type { CreatedRow } from './schema-created.ts';
import { ASIDE, entryText, selectEntries, type Keyed } from './schema-entries.ts';

export interface SchemaDifference {
  object: string;
  /** Lines with `-` are on the source only, with `+` on the target only; one sentence where the object is missing. */
  diff: string;
}

const SHOWN_LINES = 12;

/** What has no text of its own worth comparing: extensions differ by version, event triggers need a superuser. */
const NOT_COMPARED = new Set([...ASIDE, 'EXTENSION', 'EVENT TRIGGER']);
/** On a table that is moved, one of these that only the target has changes what the application sees. */
const ON_TABLES = new Set([
  'TRIGGER',
  'CONSTRAINT',
  'CHECK CONSTRAINT',
  'FK CONSTRAINT',
  'INDEX',
  'DEFAULT',
  'RULE',
  'POLICY',
  'ROW SECURITY',
]);

/** Whether the object is the same on both sides. `lenient`: a foreign key that is not validated yet is no difference. */
export function isSameEntry(source: Keyed, target: Keyed, created: CreatedRow | undefined, lenient: boolean): boolean {
  if (source.kind === 'SCHEMA' && source.tag === 'public') return true;
  const [a, b] = [tidy(source.sql), tidy(target.sql)];
  if (a === b) return true;
  if (lenient && source.kind === 'FK CONSTRAINT' && b === tidy(source.sql.replace(/;\s*$/, ' NOT VALID;'))) return true;
  // Made by us of this very text, and not changed since: its other looks are the other version's.
  // A foreign key's text says whether it is validated, and reads the same everywhere.
  if (source.kind === 'FK CONSTRAINT' || created?.sourceText !== source.sql) return false;
  // Not noted yet: a crash came right after it was made.
  return created.targetText === null || tidy(created.targetText) === b;
}

/** Space at the ends of lines and empty lines mean nothing. */
function tidy(sql: string): string {
  return sql
    .replaceAll(/[ \t]+$/gm, '')
    .replaceAll(/\n{2,}/g, '\n')
    .trim();
}

/** A line each that only one side has; lines of both are not shown. */
export function diffText(source: string, target: string): string {
  const lines = (text: string) => tidy(text).split('\n');
  const [a, b] = [lines(source), lines(target)];
  const only = (from: string[], other: string[], mark: string) =>
    from.filter((line) => !other.includes(line)).map((line) => `${mark} ${line.trim()}`);
  const found = [...only(a, b, '-'), ...only(b, a, '+')];
  if (found.length === 0) return 'the same lines in another order';
  const more = found.length > SHOWN_LINES ? [`… ${found.length - SHOWN_LINES} lines more`] : [];
  return [...found.slice(0, SHOWN_LINES), ...more].join('\n');
}

/** Everything in which the target is not as the source: missing, different, or (on the moved tables) too much. */
export function compareEntries(
  source: readonly Keyed[],
  target: readonly Keyed[],
  plan: TablePlan,
  created: ReadonlyMap<string, CreatedRow>,
): SchemaDifference[] {
  const { entries } = selectEntries(source, plan);
  const there = new Map(target.map((entry) => [entry.key, entry]));
  const here = new Map(entries.map((entry) => [entry.key, entry]));
  const differences = entries.flatMap((entry): SchemaDifference[] => {
    if (NOT_COMPARED.has(entry.kind) || (entry.kind === 'SCHEMA' && entry.tag === 'public')) return [];
    const other = there.get(entry.key);
    const object = entryText(entry);
    if (!other) return [{ object, diff: 'missing on the target' }];
    return isSameEntry(entry, other, created.get(entry.key), false)
      ? []
      : [{ object, diff: diffText(entry.sql, other.sql) }];
  });
  const moved = new Set(
    target.filter(({ kind, key }) => kind === 'TABLE' && here.has(key)).map(({ dumpId }) => dumpId),
  );
  const extra = target.filter(
    ({ kind, key, needs }) => ON_TABLES.has(kind) && !here.has(key) && needs.some((id) => moved.has(id)),
  );
  return [...differences, ...extra.map((entry) => ({ object: entryText(entry), diff: 'only on the target' }))];
}

/** @throws cutover.Differs, with the first differences in the message and up to 20 in the details */
export function refuseDifferences(differences: SchemaDifference[], remedy: string): void {
  if (differences.length === 0) return;
  const shown = differences.slice(0, 3).map(({ object, diff }) => `${object}:\n${diff}`);
  const more = differences.length > 3 ? `\nand ${differences.length - 3} objects more` : '';
  throw permanent(ErrorType.differs, `the target's schema differs from the source's:\n${shown.join('\n')}${more}`, {
    remedy,
    facts: { differences: differences.slice(0, 20) },
  });
}
