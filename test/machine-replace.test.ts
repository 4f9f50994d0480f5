/** The replacement of addresses, run by a real bash: whole addresses only, in one pass, and done once however often it runs. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import * as fc from 'fast-check';
import { replacements, replaceReport, replaceScript, type Replacement } from '../activities/machine/replace-script.ts';

const all = mkdtempSync(join(tmpdir(), 'cutover-replace-'));
let dir: string;
let count = 0;
beforeEach(() => fresh());
afterAll(() => rmSync(all, { recursive: true, force: true }));

function fresh(): void {
  dir = join(all, `${(count += 1)}`);
  mkdirSync(join(dir, 'etc'), { recursive: true });
}

const file = (name: string) => join(dir, 'etc', name);
const text = (name: string) => readFileSync(file(name), 'utf8');

interface Ran {
  code: number;
  stdout: string;
}

function replace(pairs: Replacement[], more: { gone?: string[]; files?: string[] } = {}): Promise<Ran> {
  const given = { pairs: replacements(pairs), files: [file('*')], keptIn: join(dir, 'kept'), ...more };
  return new Promise((resolve, reject) => {
    execFile('bash', ['-c', replaceScript(given)], (error, stdout) => {
      const code = error === null ? 0 : error.code;
      if (typeof code === 'number') resolve({ code, stdout });
      else reject(error ?? new Error('bash has not been run'));
    });
  });
}

const PAIRS = [
  { old: '10.0.0.1', new: '10.9.8.7' },
  { old: '203.0.113.5', new: '198.51.100.10' },
];

test('whole addresses: not in a longer one, and in URLs, lists and before a full stop', async () => {
  writeFileSync(
    file('replicated'),
    [
      'A=10.0.0.1 B=10.0.0.11 C=110.0.0.1 D=10.0.0.1.5 E=4.10.0.0.1 F=10.0.0.100',
      'http://10.0.0.1:9879/x?y=10.0.0.1,10.0.0.1;10.0.0.1/24 "10.0.0.1" at 10.0.0.1.',
      'v10.0.0.1-rc 203.0.113.5 203.0.113.50 10a0b0c1',
      '',
    ].join('\n'),
  );
  const { code, stdout } = await replace(PAIRS);
  expect(text('replicated')).toBe(
    [
      'A=10.9.8.7 B=10.0.0.11 C=110.0.0.1 D=10.0.0.1.5 E=4.10.0.0.1 F=10.0.0.100',
      'http://10.9.8.7:9879/x?y=10.9.8.7,10.9.8.7;10.9.8.7/24 "10.9.8.7" at 10.9.8.7.',
      'v10.9.8.7-rc 198.51.100.10 203.0.113.50 10a0b0c1',
      '',
    ].join('\n'),
  );
  expect(code).toBe(0);
  const report = replaceReport(stdout, join(dir, 'kept'));
  expect(report.files).toEqual([{ path: file('replicated'), count: 9 }]);
});

/** The same by another way: JavaScript's regular expressions. */
function expected(content: string, pairs: Replacement[]): string {
  const by = new Map(pairs.map((pair) => [pair.old, pair.new]));
  if (by.size === 0) return content;
  const any = [...by.keys()].map((old) => old.replaceAll('.', String.raw`\.`)).join('|');
  return content.replaceAll(new RegExp(String.raw`(?<![0-9])(?<![0-9]\.)(?:${any})(?![0-9])(?!\.[0-9])`, 'g'), (old) =>
    String(by.get(old)),
  );
}

test('any text with any addresses in it comes out as a second implementation has it', async () => {
  const octet = fc.constantFrom('0', '1', '10', '11', '110');
  const address = fc.tuple(octet, octet, octet, octet).map((parts) => parts.join('.'));
  const piece = fc.oneof(
    address,
    fc.constantFrom('.', ' ', ':', '/', '1', '0', 'x', '_', '-', '\n', '"', '\\', '&', '=', 'é'),
  );
  const content = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''));
  await fc.assert(
    fc.asyncProperty(
      fc.array(content, { minLength: 1, maxLength: 4 }),
      fc.uniqueArray(address, { minLength: 1, maxLength: 3 }),
      // New ones may be old ones too: what was put there is not replaced again.
      fc.array(address, { minLength: 3, maxLength: 3 }),
      async (contents, olds, news) => {
        fresh();
        const pairs = olds.map((old, index) => ({ old, new: news[index]! }));
        for (const [index, one] of contents.entries()) writeFileSync(file(`f${index}`), one);
        const { code } = await replace(pairs);
        for (const [index, one] of contents.entries())
          expect(text(`f${index}`)).toBe(expected(one, replacements(pairs)));
        expect(code).toBe(0);
      },
    ),
    { numRuns: 40 },
  );
}, 120_000);

test('a second run changes nothing, says the same, and neither does one after a crash before it was noted', async () => {
  // Each is the other one's new address: replaced twice it would be back where it was.
  const swap = [
    { old: '10.0.0.1', new: '10.0.0.2' },
    { old: '10.0.0.2', new: '10.0.0.1' },
  ];
  writeFileSync(file('a'), 'one 10.0.0.1 two 10.0.0.2', { mode: 0o640 });
  const first = await replace(swap);
  expect(text('a')).toBe('one 10.0.0.2 two 10.0.0.1');
  expect(await replace(swap)).toEqual(first);
  writeFileSync(join(dir, 'kept', 'done'), '');
  expect(await replace(swap)).toEqual(first);
  expect(text('a')).toBe('one 10.0.0.2 two 10.0.0.1');
  expect(statSync(file('a')).mode & 0o777).toBe(0o640);
  expect(readFileSync(join(dir, 'kept', 'files', file('a')), 'utf8')).toBe('one 10.0.0.1 two 10.0.0.2');
});

test('what is missing is named; where nothing is there it is a failure', async () => {
  writeFileSync(file('a'), '10.0.0.1\n');
  const { code, stdout } = await replace(PAIRS, { files: [file('a'), file('none'), `${dir}/sysconfig/*`] });
  expect(code).toBe(0);
  expect(replaceReport(stdout, '').missing).toEqual([file('none'), `${dir}/sysconfig/*`]);
  expect((await replace(PAIRS, { files: [file('none')] })).code).toBe(3);
});

test('an old address that nothing takes the place of is a failure', async () => {
  writeFileSync(file('a'), 'PRIVATE=10.0.0.1 PUBLIC=203.0.113.5\n');
  const { code, stdout } = await replace([PAIRS[0]!], { gone: ['203.0.113.5'] });
  expect(code).toBe(4);
  expect(stdout).toContain(`left 1 ${file('a')}`);
  // By hand, and then again: what was replaced before stays.
  writeFileSync(file('a'), 'PRIVATE=10.9.8.7\n');
  expect((await replace([PAIRS[0]!], { gone: ['203.0.113.5'] })).code).toBe(0);
  expect(text('a')).toBe('PRIVATE=10.9.8.7\n');
});

test('a link’s file is replaced and the link stays; a file that is no text is left alone and named', async () => {
  writeFileSync(join(dir, 'real'), '10.0.0.1\n');
  symlinkSync(join(dir, 'real'), file('link'));
  writeFileSync(file('data.bin'), Buffer.concat([Buffer.from('10.0.0.1 '), Buffer.from([0, 1])]));
  const { code, stdout } = await replace(PAIRS);
  expect(code).toBe(0);
  expect(readFileSync(join(dir, 'real'), 'utf8')).toBe('10.9.8.7\n');
  expect(statSync(file('link')).isFile()).toBe(true);
  expect(replaceReport(stdout, '').binary).toEqual([file('data.bin')]);
});
