/**
 * DMS's table mappings: made from the plan, and read as DMS reads them. Pure. Wildcards as the DMS guide has them: `%` any
 * characters, `_` one, `[_]` the character itself, `[ab]` and `[a-d]` one of them. Schema and table names are case-sensitive.
 */
import {
  MARKER_TABLE,
  OWN_SCHEMA,
  tableText,
  type PlannedTable,
  type TableId,
  type TablePlan,
} from './postgres-plan.ts';
import type { Selection } from './postgres-tables.ts';

interface MappingRule extends Record<string, unknown> {
  'rule-type': string;
  'rule-id': string | number;
  'rule-name': string;
}

export interface TableMappings {
  rules: MappingRule[];
}

export interface MappingProblem {
  /** `fail`: DMS refuses it, or rows would be lost; `warn`: to be known. */
  severity: 'fail' | 'warn';
  /** The rule's name or id, as the document has it. */
  rule?: string;
  problem: string;
  mend: string;
}

export type MappedTable = PlannedTable;

/**
 * The mappings of a migration: one exact rule per replicated table, and one for `cutover.marker`. The same plan always
 * gives the same document. A file's own `tableMappings` is used as it is, with only what our own schema needs added.
 */
export function tableMappingsOf(
  migration: { replication: { tableMappings?: Record<string, unknown> | undefined } },
  plan: { tables: MappedTable[] } | TablePlan,
): TableMappings {
  const given = migration.replication.tableMappings;
  if (given) return withOwnSchema(given);
  const tables: MappedTable[] = plan.tables;
  const replicated = tables
    .filter(({ treatment }) => treatment === 'replicated')
    .flatMap((table): TableId[] => (table.partitions?.length ? table.partitions : [table]));
  const named = [...replicated, MARKER_TABLE].sort((a, b) => (tableText(a) < tableText(b) ? -1 : 1));
  return { rules: named.map((table, index) => selectionRule(index + 1, 'include', table)) };
}

/** The mappings with one table shut out: exclude goes before every include. The same document where it is out already. */
export function withoutTable(mappings: object, table: TableId): TableMappings {
  const rules = rulesOf(mappings);
  if (!selectionOf(mappings)({ schema: table.schema, name: table.name })) return { ...mappings, rules };
  return { ...mappings, rules: [...rules, selectionRule(nextId(rules), 'exclude', table)] };
}

/** Which tables DMS would take by these mappings: any include or explicit rule, and no exclude; their order is no matter. */
export function selectionOf(mappings: object): Selection {
  const selections = rulesOf(mappings).flatMap((rule) => {
    const { schema, table, type } = locatorOf(rule);
    if (rule['rule-type'] !== 'selection' || schema === undefined || table === undefined || type === 'view') return [];
    const exact = rule['rule-action'] === 'explicit';
    const matches = exact
      ? (id: TableId) => id.schema === schema && id.name === table
      : likeTable(likePattern(schema), likePattern(table));
    return [{ excludes: rule['rule-action'] === 'exclude', matches }];
  });
  return (table) => {
    const hit = selections.filter(({ matches }) => matches(table));
    return hit.length > 0 && !hit.some(({ excludes }) => excludes);
  };
}

/** What is wrong with a document of the file's own: what DMS refuses, and what moves less than it seems to. */
export function mappingProblems(mappings: object): MappingProblem[] {
  const found: MappingProblem[] = [];
  const raw = 'rules' in mappings ? mappings.rules : undefined;
  if (!Array.isArray(raw) || raw.length === 0) {
    return [
      { severity: 'fail', problem: 'it has no rules', mend: 'expected { "rules": [ … ] } with a selection rule' },
    ];
  }
  const seen = { 'rule-id': new Set<string>(), 'rule-name': new Set<string>() };
  for (const [index, rule] of raw.entries()) {
    if (!isFields(rule)) {
      found.push({
        severity: 'fail',
        problem: `rule ${index + 1} is no object`,
        mend: 'see the DMS guide on table mapping',
      });
      continue;
    }
    const name = text(rule['rule-name']) ?? text(rule['rule-id']) ?? `number ${index + 1}`;
    found.push(...problemsOf(rule).map((problem) => ({ ...problem, rule: name })));
    for (const key of ['rule-id', 'rule-name'] as const) {
      const value = text(rule[key]);
      if (value === undefined) {
        found.push({
          severity: 'fail',
          rule: name,
          problem: `it has no ${key}`,
          mend: `give each rule its own ${key}`,
        });
      } else if (seen[key].has(value)) {
        found.push({
          severity: 'fail',
          rule: name,
          problem: `${key} ${value} is there twice`,
          mend: `each ${key} once`,
        });
      } else seen[key].add(value);
    }
  }
  if (!raw.some((rule) => isFields(rule) && rule['rule-type'] === 'selection' && rule['rule-action'] !== 'exclude')) {
    found.push({ severity: 'fail', problem: 'no rule includes anything', mend: 'add a selection rule with include' });
  }
  if (
    !selectionOf(tableMappingsOf({ replication: { tableMappings: { ...mappings } } }, { tables: [] }))(MARKER_TABLE)
  ) {
    found.push({
      severity: 'fail',
      problem: `a rule excludes ${tableText(MARKER_TABLE)}, by which lag and drain are proven`,
      mend: `narrow the exclude rule, so that it leaves the schema ${OWN_SCHEMA} alone`,
    });
  }
  return found;
}

function problemsOf(rule: Record<string, unknown>): MappingProblem[] {
  const type = text(rule['rule-type']) ?? '(none)';
  if (type === 'transformation') {
    const problem = `it transforms (${text(rule['rule-action']) ?? '?'}): the target will not equal the source, and the verification fails`;
    return [{ severity: 'fail', problem, mend: 'leave transformations out: cutover moves tables as they are' }];
  }
  if (type === 'table-settings') return [];
  if (type !== 'selection') {
    return [{ severity: 'fail', problem: `rule-type ${type} is unknown`, mend: 'selection or table-settings' }];
  }
  const found: MappingProblem[] = [];
  const action = text(rule['rule-action']) ?? '(none)';
  if (!['include', 'exclude', 'explicit'].includes(action)) {
    found.push({ severity: 'fail', problem: `rule-action ${action} is unknown`, mend: 'include, exclude or explicit' });
  }
  const { schema, table, type: of } = locatorOf(rule);
  if (!schema || !table) {
    const mend = '"object-locator": { "schema-name": "public", "table-name": "%" }';
    return [...found, { severity: 'fail', problem: 'it names no schema and table', mend }];
  }
  if (action === 'explicit' && `${schema}${table}`.includes('%')) {
    found.push({ severity: 'fail', problem: 'explicit takes exact names, no %', mend: 'use include with a pattern' });
  }
  if (of === 'view' || of === 'all') {
    found.push({
      severity: 'warn',
      problem: `table-type ${of}: views are never followed`,
      mend: 'leave table-type out',
    });
  }
  if (Array.isArray(rule['filters']) && rule['filters'].length > 0) {
    const problem = 'it has filters: the rows that they hold back are missing on the target';
    found.push({ severity: 'fail', problem, mend: 'leave the filters out: cutover moves whole tables' });
  }
  return found;
}

/** A name as a pattern that matches nothing but itself. */
export function escapePattern(name: string): string {
  return name.replaceAll(/[%_[]/g, (character) => `[${character}]`);
}

function withOwnSchema(given: object): TableMappings {
  const rules = [...rulesOf(given)];
  const add = (action: 'include' | 'exclude', table: TableId, pattern?: string) =>
    rules.push(selectionRule(nextId(rules), action, table, pattern));
  // `%` for the schema would also take our records of the fence, of which each side has its own. Exclude goes before
  // include, so they are shut out by all first letters but the marker's.
  if (selectionOf(given)({ schema: OWN_SCHEMA, name: 'fence' })) {
    for (const letters of ['[a-l]%', '[n-z]%']) add('exclude', { schema: OWN_SCHEMA, name: letters }, letters);
  }
  if (!selectionOf(given)(MARKER_TABLE)) add('include', MARKER_TABLE);
  return { ...given, rules };
}

function selectionRule(id: number, action: 'include' | 'exclude', table: TableId, pattern?: string): MappingRule {
  return {
    'rule-type': 'selection',
    'rule-id': String(id),
    // Names of tables may hold what a rule's name may not.
    'rule-name': `cutover-${id}`,
    'object-locator': {
      'schema-name': escapePattern(table.schema),
      'table-name': pattern ?? escapePattern(table.name),
    },
    'rule-action': action,
    filters: [],
  };
}

function nextId(rules: MappingRule[]): number {
  return Math.max(0, ...rules.map((rule) => Number(rule['rule-id'])).filter(Number.isSafeInteger)) + 1;
}

function rulesOf(mappings: object): MappingRule[] {
  const rules: unknown = 'rules' in mappings ? mappings.rules : [];
  return Array.isArray(rules) ? rules.filter((rule): rule is MappingRule => isFields(rule)) : [];
}

function locatorOf(rule: Record<string, unknown>): { schema?: string; table?: string; type?: string } {
  const locator = rule['object-locator'];
  if (!isFields(locator)) return {};
  const [schema, table, type] = ['schema-name', 'table-name', 'table-type'].map((key) => text(locator[key]));
  return { ...(schema ? { schema } : {}), ...(table ? { table } : {}), ...(type ? { type } : {}) };
}

const likeTable = (schema: RegExp, table: RegExp) => (id: TableId) => schema.test(id.schema) && table.test(id.name);

/** DMS's pattern as a regular expression; a `[` that is never closed is itself. */
function likePattern(pattern: string): RegExp {
  const quoted = (literal: string) => literal.replaceAll(/[\\^$.|?*+()[\]{}]/g, String.raw`\$&`);
  const parts = pattern.match(/\[[^\]]+\]|[\s\S]/gu) ?? [];
  const source = parts.map((part) => {
    if (part === '%') return '.*';
    if (part === '_') return '.';
    if (part.length < 3) return quoted(part);
    const set = part.slice(1, -1);
    const inside = set.replaceAll(/[\\\]^[]/g, String.raw`\$&`);
    return `[${inside}]`;
  });
  try {
    return new RegExp(`^${source.join('')}$`, 'su');
  } catch {
    // A range that runs backwards, [z-a]: nothing is in it.
    return /(?!)/;
  }
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined;
}
