import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { errorCode } from './error-code.ts';
import { isAlive } from './tool-cache.ts';

const HOLDER = z.object({ pid: z.number().int(), host: z.string() });
const REFRESH_MS = 2_000;
const STALE_MS = 60_000;
const POLL_MS = 250;
const TELL_EVERY_MS = 1_000;

/**
 * One fetch of a tool at a time on this machine; returns how to let go. Waits without end for a holder that is alive.
 *
 * The lock only saves work: should two fetch at once all the same (two that both take over a dead holder's lock), each has
 * its own staging folder, and the rename into place is atomic.
 */
export async function fetchLock(cache: string, tool: string, onWait: () => void): Promise<() => void> {
  const file = join(cache, `${tool}.lock`);
  let toldAt = 0;
  for (;;) {
    if (tryLock(file)) return holder(file);
    if (isStale(file)) takeAway(file);
    else {
      if (Date.now() - toldAt >= TELL_EVERY_MS) {
        onWait();
        toldAt = Date.now();
      }
      await delay(POLL_MS);
    }
  }
}

function tryLock(file: string): boolean {
  try {
    const fd = openSync(file, 'wx');
    writeSync(fd, JSON.stringify({ pid: process.pid, host: hostname() }));
    closeSync(fd);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function holder(file: string): () => void {
  // The time stamp tells holders apart from the dead where a pid can't: a cache shared by containers.
  const refresh = setInterval(() => {
    try {
      utimesSync(file, new Date(), new Date());
    } catch {
      /* Taken over by another: its fetch and ours do not harm each other. */
    }
  }, REFRESH_MS).unref();
  return () => {
    clearInterval(refresh);
    rmSync(file, { force: true });
  };
}

function isStale(file: string): boolean {
  try {
    if (Date.now() - statSync(file).mtimeMs > STALE_MS) return true;
    const { pid, host } = HOLDER.parse(JSON.parse(readFileSync(file, 'utf8')));
    return host === hostname() && !isAlive(pid);
  } catch {
    return false; // Just gone, or just being written: look again.
  }
}

function takeAway(file: string): void {
  const aside = `${file}.stale-${process.pid}`;
  try {
    renameSync(file, aside); // Of several who try, one succeeds.
    rmSync(aside, { force: true });
  } catch {
    /* Another was first. */
  }
}
