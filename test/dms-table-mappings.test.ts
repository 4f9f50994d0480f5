/** DMS's table mappings: what is generated, and what any document takes. */
import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  escapePattern,
  mappingProblems,
  selectionOf,
  tableMappingsOf,
  withoutTable,
} from '../spec/dms-table-mappings.ts';
import { MARKER_TABLE, type PlannedTable } from '../spec/postgres-plan.ts';

const article = JSON.parse(readFileSync('examples/redash-table-mappings.json', 'utf8')) as Record<string, unknown>;
const table = (schema: string, name: string, treatment: PlannedTable['treatment'] = 'replicated'): PlannedTable => ({
  schema,
  name,
  treatment,
  rows: 0,
  bytes: 0,
  primaryKey: ['id'],
});
const generated = (...tables: PlannedTable[]) => tableMappingsOf({ replication: {} }, { tables });
const rules = (...list: [string, string, string][]) => ({
  rules: list.map(([action, schema, name], at) => ({
    'rule-type': 'selection',
    'rule-id': at + 1,
    'rule-name': `r${at}`,
    'rule-action': action,
    'object-locator': { 'schema-name': schema, 'table-name': name },
  })),
});
const takes = (mappings: object, schema: string, name: string) => selectionOf(mappings)({ schema, name });

describe('generated from the plan', () => {
  test('one rule per replicated table and the marker, the same for the same plan in any order', () => {
    const a = table('public', 'users');
    const b = table('Büro', 'Akten_2024');
    const hand = table('public', 'queries', 'by-hand');
    const mappings = generated(a, b, hand);
    expect(mappings).toEqual(generated(hand, b, a));
    expect(mappings.rules).toHaveLength(3);
    expect(new Set(mappings.rules.map((rule) => rule['rule-id'])).size).toBe(3);
    expect(new Set(mappings.rules.map((rule) => rule['rule-name'])).size).toBe(3);
    expect(mappings.rules.map((rule) => rule['object-locator'])).toContainEqual({
      'schema-name': 'Büro',
      'table-name': 'Akten[_]2024',
    });
    expect(takes(mappings, 'public', 'queries')).toBe(false);
    expect(takes(mappings, MARKER_TABLE.schema, MARKER_TABLE.name)).toBe(true);
    expect(takes(mappings, 'Büro', 'Aktenx2024')).toBe(false);
    expect(mappingProblems(mappings)).toEqual([]);
  });

  test('any name is taken exactly, and nothing else by it', () => {
    const name = fc.string({
      unit: fc.constantFrom('a', 'B', '_', '%', '[', ']', '-', '^', '.', '"', '\\', 'é', '🐘', '*'),
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(name, name, name, (schema, one, other) => {
        const mappings = generated(table(schema, one));
        expect(takes(mappings, schema, one)).toBe(true);
        expect(takes(mappings, schema, other)).toBe(other === one);
        expect(takes(mappings, one, schema)).toBe(one === schema);
      }),
      { numRuns: 300 },
    );
  });

  test('a table that names its partitions is replicated by them', () => {
    const parent = { ...table('public', 'events'), partitioned: true, partitions: [{ schema: 'p', name: 'events_1' }] };
    const mappings = tableMappingsOf({ replication: {} }, { tables: [parent] });
    expect(takes(mappings, 'p', 'events_1')).toBe(true);
    expect(takes(mappings, 'public', 'events')).toBe(false);
  });

  test('one table taken out: the others stay, and twice is the same as once', () => {
    const users = { schema: 'public', name: 'users' };
    const mappings = generated(table('public', 'users'), table('public', 'orders'));
    const without = withoutTable(mappings, users);
    expect(selectionOf(without)(users)).toBe(false);
    expect(takes(without, 'public', 'orders')).toBe(true);
    expect(withoutTable(without, users)).toEqual(without);
    expect(mappingProblems(without)).toEqual([]);
  });
});

describe('a document of the file’s own', () => {
  test("the article's: queries% shuts out more than one table, and the marker is added", () => {
    const mappings = tableMappingsOf({ replication: { tableMappings: article } }, { tables: [] });
    expect(mappings.rules.slice(0, 2)).toEqual(article['rules']);
    for (const name of ['queries', 'queries_history']) expect(takes(mappings, 'public', name)).toBe(false);
    for (const name of ['query_results', 'users', 'Queries']) expect(takes(mappings, 'public', name)).toBe(true);
    expect(takes(mappings, 'other', 'users')).toBe(false);
    expect(takes(mappings, 'cutover', 'marker')).toBe(true);
    expect(takes(mappings, 'cutover', 'fence')).toBe(false);
    expect(mappings.rules.map((rule) => rule['rule-id'])).toEqual([1, 2, '3']);
    expect(mappingProblems(article)).toEqual([]);
  });

  test('% for every schema: our own records are shut out, but for the marker', () => {
    const mappings = tableMappingsOf({ replication: { tableMappings: rules(['include', '%', '%']) } }, { tables: [] });
    for (const name of ['fence', 'created', 'opening', 'zone']) expect(takes(mappings, 'cutover', name)).toBe(false);
    expect(takes(mappings, 'cutover', 'marker')).toBe(true);
    expect(takes(mappings, 'sales', 'fence')).toBe(true);
  });

  test.each([
    ['public', 'a%', 'public', 'abc', true],
    ['public', 'a%', 'public', 'Abc', false],
    ['public', 'a_c', 'public', 'abc', true],
    ['public', 'a[_]c', 'public', 'abc', false],
    ['public', 'a[_]c', 'public', 'a_c', true],
    ['public', 't[ab]', 'public', 'tb', true],
    ['public', 't[a-c]', 'public', 'td', false],
    ['p[', 't', 'p[', 't', true],
    ['%', '%', 'any', 'line\nbreak', true],
    ['public', 'a.b', 'public', 'axb', false],
  ])('%s.%s against %s.%s', (schema, pattern, ofSchema, name, expected) => {
    expect(takes(rules(['include', schema, pattern]), ofSchema, name)).toBe(expected);
  });

  test('exclude goes before include and explicit, in any order; explicit takes no wildcard', () => {
    const both = rules(['include', 'public', '%'], ['exclude', 'public', 'x%']);
    expect(takes(both, 'public', 'xy')).toBe(false);
    expect(takes({ rules: both.rules.toReversed() }, 'public', 'xy')).toBe(false);
    expect(takes(rules(['explicit', 'public', 'a_c']), 'public', 'abc')).toBe(false);
    expect(takes(rules(['explicit', 'public', 'a_c']), 'public', 'a_c')).toBe(true);
    expect(takes(rules(['explicit', 'public', 'a'], ['exclude', '%', 'a']), 'public', 'a')).toBe(false);
    expect(takes({}, 'public', 'a')).toBe(false);
  });

  test('problems are named with rule and mend', () => {
    const bad = rules(['include', 'public', '%'], ['exclude', 'cutover', '%'], ['explicit', 'public', 'a%']);
    bad.rules[1]!['rule-id'] = 1;
    Object.assign(bad.rules[0]!, { filters: [{ 'filter-type': 'source' }] });
    const more = [
      ...bad.rules,
      { 'rule-type': 'transformation', 'rule-id': 9, 'rule-name': 't', 'rule-action': 'rename' },
    ];
    const found = mappingProblems({ rules: more });
    expect(found.map(({ rule, severity, problem }) => [rule, severity, problem])).toEqual([
      ['r0', 'fail', expect.stringContaining('filters')],
      ['r1', 'fail', 'rule-id 1 is there twice'],
      ['r2', 'fail', expect.stringContaining('exact names')],
      ['t', 'fail', expect.stringContaining('transforms (rename)')],
      [undefined, 'fail', expect.stringContaining('cutover.marker')],
    ]);
    expect(mappingProblems({})).toMatchObject([{ severity: 'fail', problem: 'it has no rules' }]);
    expect(mappingProblems({ rules: [{ ...rules(['exclude', 'a', 'b']).rules[0] }] })).toContainEqual(
      expect.objectContaining({ problem: 'no rule includes anything' }),
    );
  });

  test('escapePattern escapes what DMS reads as a pattern', () => {
    expect(escapePattern('a_b%c[d]')).toBe('a[_]b[%]c[[]d]');
  });
});
