/** Which table goes which way: patterns of the file against the tables that are there. Pure. */
import { z } from 'zod';

/** `schema.table`; `*` stands for any characters, and double quotes around a part take it as it is. */
export interface TablePattern {
  schema: RegExp;
  table: RegExp;
}

const FORM = 'expected schema.table, with * for any characters (public.*), and double quotes around a name with dots';
const PART = String.raw`(?:"(?:[^"]|"")+"|[^."\s]+)`;
const WHOLE = new RegExp(`^(${PART})\\.(${PART})$`);

export const tablePattern = z
  .string(FORM)
  .regex(WHOLE, { error: FORM })
  .meta({ description: 'schema.table, * for any characters' });

/** @throws Error on a text that `tablePattern` refuses */
function parseTablePattern(text: string): TablePattern {
  const found = WHOLE.exec(text);
  if (!found) throw new Error(`${text}: ${FORM}`);
  return { schema: partPattern(found[1]!), table: partPattern(found[2]!) };
}

function partPattern(part: string): RegExp {
  const quoted = part.startsWith('"');
  const literal = (quoted ? part.slice(1, -1).replaceAll('""', '"') : part).replaceAll(/[\\^$.|?*+()[\]{}]/g, '\\$&');
  return new RegExp(`^${quoted ? literal : literal.replaceAll(String.raw`\*`, '.*')}$`, 's');
}

export function matches(patterns: readonly string[], table: { schema: string; name: string }): boolean {
  return patterns.some((text) => {
    const { schema, table: name } = parseTablePattern(text);
    return schema.test(table.schema) && name.test(table.name);
  });
}

/**
 * - `replicated`: by the engine
 * - `by-hand`: by COPY inside the critical section
 * - `left-out`: not moved on purpose
 * - `uncovered`: neither; the preflight refuses it, for it would be lost silently
 */
export type Treatment = 'replicated' | 'by-hand' | 'left-out' | 'uncovered';

/** Whether the engine's own selection (DMS's table mappings) takes a table; in place of include and exclude. */
export type Selection = (table: { schema: string; name: string }) => boolean;

/** leaveOut goes before copyByHand, and that before exclude and include. */
export function treatmentOf(
  tables: { include: string[]; exclude: string[]; copyByHand: string[]; leaveOut: string[] },
  table: { schema: string; name: string },
  selection?: Selection,
): Treatment {
  if (matches(tables.leaveOut, table)) return 'left-out';
  if (matches(tables.copyByHand, table)) return 'by-hand';
  const taken = selection ? selection(table) : matches(tables.include, table) && !matches(tables.exclude, table);
  return taken ? 'replicated' : 'uncovered';
}
