import { assert, constantFrom, nat, oneof, property, string } from 'fast-check';
import { expect, test } from 'vitest';
import { selectionOf } from '../sandbox/aws/dms/engine/selection.ts';
import { escapePattern } from '../spec/dms-table-mappings.ts';

const rule = (table: string, action = 'include', schema = 'public'): Record<string, unknown> => ({
  'rule-type': 'selection',
  'rule-action': action,
  'object-locator': { 'schema-name': schema, 'table-name': table },
});
const takes = (pattern: string, name: string): boolean => selectionOf({ rules: [rule(pattern)] })('public', name);

/** What means something to the mappings, to Postgres or to a regular expression, and plain ones beside them. */
const CHARACTERS = Array.from(`ab09-_%[]{}()^$.*+?|/\\"',:;#&~=!@<> éßЖ漢😀\n`);
const name = string({
  unit: oneof(constantFrom(...CHARACTERS), string({ minLength: 1, maxLength: 1, unit: 'grapheme' })),
  minLength: 1,
  maxLength: 12,
});

test('a name that is escaped takes this table and no other', () => {
  assert(
    property(name, name, nat(), constantFrom(...CHARACTERS), (mine, other, at, character) => {
      const pattern = escapePattern(mine);
      expect(takes(pattern, mine)).toBe(true);
      const points = Array.from(mine);
      const index = at % points.length;
      const near = [
        other,
        [...points.slice(0, index), character, ...points.slice(index + 1)].join(''),
        [...points.slice(0, index), character, ...points.slice(index)].join(''),
        points.toSpliced(index, 1).join(''),
        pattern,
        mine.toUpperCase(),
      ];
      for (const one of near) expect([one, takes(pattern, one)]).toEqual([one, one === mine]);
      expect(selectionOf({ rules: [rule('%'), rule(pattern, 'exclude')] })('public', mine)).toBe(false);
      expect(selectionOf({ rules: [rule('%', 'include', pattern)] })(mine, 't')).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});

test('wildcards', () => {
  const cases: [pattern: string, taken: string[], left: string[]][] = [
    ['a-b', ['a-b'], ['a_b', 'ab', 'axb']],
    ['a%', ['a', 'a-%\n漢'], ['A', 'ba']],
    ['a_', ['a-', 'a😀'], ['a', 'a--']],
    ['a[_]b', ['a_b'], ['axb', 'a[_]b']],
    ['t[ab]', ['ta', 'tb'], ['tc', 't[ab]', 't']],
    ['t[a-d]', ['ta', 'tc', 'td'], ['te', 't-']],
    ['t[d-a]', ['td', 't-', 'ta'], ['tb']],
    ['t[-^]', ['t-', 't^'], ['tx']],
    ['t[', ['t['], ['t']],
    ['t]', ['t]'], ['t']],
    ['[]', ['[]'], ['', '[', ']']],
  ];
  for (const [pattern, taken, left] of cases) {
    expect([pattern, [...taken, ...left].filter((one) => takes(pattern, one))]).toEqual([pattern, taken]);
  }
});
