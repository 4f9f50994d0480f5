/** `cutover preflight --fix`: one script for each side, printed and never run; and the command as a process. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fail, pass, unmet, warn, type Check, type Finding } from '../activities/preflight/check.ts';
import { runChecks } from '../activities/preflight/run-checks.ts';
import { rememberSecret } from '../activities/secrets/redact.ts';
import { fixScripts, fixText } from '../client/cli/preflight-fix.ts';
import { preflightText } from '../client/cli/preflight-view.ts';
import { summarisePreflight, type CheckReport } from '../spec/preflight.ts';
import { goodFile, openStage, type Stage } from './client-stage.ts';

const reports: CheckReport[] = [
  { id: 'P.a', title: 'fine', result: 'pass', found: 'yes' },
  {
    id: 'P.b',
    title: 'reading',
    result: 'fail',
    // What a server's names may hold: it must not end the comment.
    found: 'may not read "x\n; DROP TABLE orders; --"',
    remedy: 'GRANT 1;',
    fix: { side: 'source', script: 'GRANT 1;\nGRANT 2;' },
  },
  {
    id: 'P.c',
    title: 'roles',
    result: 'warn',
    found: 'none',
    remedy: 'CREATE 1;',
    fix: { side: 'target', script: 'CREATE 1;' },
  },
  {
    id: 'P.d',
    title: 'more',
    result: 'warn',
    found: 'none',
    remedy: 'GRANT 3;',
    fix: { side: 'source', script: 'GRANT 3;' },
  },
  {
    id: 'P.e',
    title: 'storage',
    result: 'fail',
    found: 'little',
    remedy: 'aws x',
    fix: { side: 'aws', script: 'aws x' },
  },
  { id: 'P.f', title: 'tables', result: 'fail', found: 'one', remedy: 'in the file: tables: { copyByHand: ["a.b"] }' },
];

describe('the scripts', () => {
  const { scripts, byHand } = fixScripts(summarisePreflight(reports));

  test('one for each side, each check named above its part, what is no script apart', () => {
    expect(scripts.map(({ side, language, checks }) => [side, language, checks])).toEqual([
      ['source', 'sql', ['P.b', 'P.d']],
      ['target', 'sql', ['P.c']],
      ['aws', 'shell', ['P.e']],
    ]);
    expect(byHand).toEqual([
      {
        id: 'P.f',
        title: 'tables',
        result: 'fail',
        found: 'one',
        remedy: 'in the file: tables: { copyByHand: ["a.b"] }',
      },
    ]);
    expect(scripts[0]!.script).toContain('-- P.d (warn) more: none\nGRANT 3;');
    expect(scripts[2]!.script).toContain('# P.e (fail) storage: little\naws x');
  });

  test('nothing of what was found becomes a command', () => {
    const commands = scripts[0]!.script.split('\n').filter((line) => line !== '' && !line.startsWith('--'));
    expect(commands).toEqual(['GRANT 1;', 'GRANT 2;', 'GRANT 3;']);
  });

  test('as one text, and where there is nothing to mend', () => {
    const text = fixText(summarisePreflight(reports));
    expect(text.indexOf('---- source')).toBeLessThan(text.indexOf('---- target'));
    expect(text).toMatch(/---- by hand -+\n# P\.f \(fail\) tables: one\n# +in the file: tables/);
    expect(fixText(summarisePreflight([reports[0]!]))).toBe('# nothing to mend');
  });

  test('a mend of several lines stays below its check on the screen', () => {
    expect(preflightText(summarisePreflight([reports[1]!]))).toContain('GRANT 1;');
  });
});

describe('a finding', () => {
  const check = (finding: Finding): Check<null> => ({
    id: 'X',
    title: 'x',
    severity: 'fail',
    remedy: () => 'its own',
    byHand: () => 'by hand',
    run: async () => Promise.resolve(finding),
  });
  const reportOf = async (finding: Finding) => (await runChecks([check(finding)], null))[0]!;

  test('with a script has it as remedy too, and as data; a pass has neither', async () => {
    const script = { side: 'source', script: 'ALTER 1;' } as const;
    expect(await reportOf(unmet('bad', script))).toEqual({
      id: 'X',
      title: 'x',
      result: 'fail',
      found: 'bad',
      remedy: 'ALTER 1;',
      fix: script,
    });
    expect(await reportOf(warn('so so', 'words'))).toEqual({
      id: 'X',
      title: 'x',
      result: 'warn',
      found: 'so so',
      remedy: 'words',
    });
    expect(await reportOf(fail('bad'))).toMatchObject({ remedy: 'its own' });
    expect(await reportOf({ ...pass('good'), fix: script })).toEqual({
      id: 'X',
      title: 'x',
      result: 'pass',
      found: 'good',
    });
  });

  test('shows no secret in its script', async () => {
    rememberSecret('very-hidden-word');
    const report = await reportOf(unmet('bad', { side: 'source', script: `ALTER ROLE a PASSWORD 'very-hidden-word'` }));
    expect(JSON.stringify(report)).not.toContain('very-hidden-word');
  });
});

describe('the command', () => {
  const QUEUE = 'preflight-fix';
  const folder = mkdtempSync(join(tmpdir(), 'cutover-fix-'));
  const main = fileURLToPath(new URL('../client/cli/main.ts', import.meta.url));
  let stage: Stage;
  beforeAll(async () => {
    stage = await openStage();
    await stage.worker(QUEUE);
    stage.scene('fixme').report = summarisePreflight(reports);
    writeFileSync(join(folder, 'fixme.yaml'), goodFile('fixme'));
  }, 120_000);
  afterAll(async () => {
    await stage?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function cli(...words: string[]): Promise<{ code: number | null; out: string; err: string }> {
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, ...words], {
      cwd: folder,
      env: {
        PATH: process.env['PATH'],
        HOME: folder,
        TEMPORAL_ADDRESS: stage.address,
        CUTOVER_TASK_QUEUE: QUEUE,
        NO_COLOR: '1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (data: Buffer) => (out += data.toString()));
    child.stderr.on('data', (data: Buffer) => (err += data.toString()));
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    return { code, out, err };
  }

  test('--fix prints all sides and keeps the exit code', async () => {
    const { code, out } = await cli('preflight', '--fix', 'fixme.yaml');
    expect(out).toBe(fixText(summarisePreflight(reports)).trimEnd() + '\n');
    expect(code).toBe(1);
  }, 90_000);

  test('--side prints that script alone, to be piped; what is left by hand goes to stderr', async () => {
    const { code, out, err } = await cli('preflight', 'fixme.yaml', '--side', 'source');
    expect(out).toBe(fixScripts(summarisePreflight(reports)).scripts[0]!.script);
    expect(err).toContain('1 more to mend by hand');
    expect(code).toBe(1);
  }, 90_000);

  test('--json has them as data', async () => {
    const { out, err } = await cli('preflight', '--fix', '--json', 'fixme.yaml');
    expect(JSON.parse(out)).toEqual(fixScripts(summarisePreflight(reports)));
    expect(err).toBe('');
  }, 90_000);

  test('a side that there is not is a usage error, and --help teaches', async () => {
    const wrong = await cli('preflight', '--fix', '--side', 'moon', 'fixme.yaml');
    expect(wrong).toMatchObject({ code: 2, out: '' });
    const help = await cli('preflight', '--help');
    expect(help.out).toContain('preflight --fix --side source shop.yaml > source.sql');
    expect(help.out.replaceAll(/\s+/g, ' ')).toContain('printed and never run');
  }, 90_000);
});
