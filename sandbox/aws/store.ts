import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { emptyState } from './state.ts';
import type { CloudState } from './state.ts';

/** How far back Describe calls may be asked to look, in milliseconds. */
const HISTORY_MS = 60_000;

/**
 * The account's state in memory and in `state.json`. Written at every change by rename, so that a SIGKILL at any moment
 * leaves either the old or the new state, never half of one. Mode 0600: it may hold an AUTH token.
 */
export class Store {
  readonly state: CloudState;
  readonly #file: string;
  #delayMs = 0;
  #history: { at: number; json: string }[] = [];

  /** @throws Error naming the file when it is there but not ours to read. */
  constructor(dir: string) {
    mkdirSync(dir, { recursive: true });
    this.#file = join(dir, 'state.json');
    this.state = existsSync(this.#file) ? read(this.#file) : emptyState();
    this.save();
  }

  /** Call it after every change of `state`. */
  save(): void {
    const json = JSON.stringify(this.state, null, 1);
    const written = `${this.#file}.new`;
    writeFileSync(written, json, { mode: 0o600 });
    renameSync(written, this.#file);
    if (this.#delayMs > 0) this.#remember(json);
  }

  /** From now on Describe calls see the state as it was `ms` milliseconds ago: AWS's eventual consistency. */
  delayVisibility(ms: number): void {
    if (ms > 0 && this.#delayMs === 0) this.#history = [{ at: 0, json: JSON.stringify(this.state) }];
    this.#delayMs = ms;
  }

  /** What a Describe call sees. Read only. */
  visible(): CloudState {
    if (this.#delayMs === 0) return this.state;
    const limit = Date.now() - this.#delayMs;
    const seen = this.#history.findLast((entry) => entry.at <= limit) ?? this.#history[0];
    return seen === undefined ? this.state : (JSON.parse(seen.json) as CloudState);
  }

  #remember(json: string): void {
    const now = Date.now();
    this.#history.push({ at: now, json });
    // The newest entry that is old enough to be seen under any allowed delay must stay, all before it may go.
    const keepFrom = this.#history.findLastIndex((entry) => entry.at <= now - Math.max(HISTORY_MS, this.#delayMs));
    if (keepFrom > 0) this.#history.splice(0, keepFrom);
  }
}

function read(file: string): CloudState {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file} cannot be read as the sandbox's state. Move it away to start with an empty account.`, {
      cause: error,
    });
  }
  const state = parsed as Partial<CloudState>;
  if (state.version !== 1) {
    throw new Error(
      `${file} is the state of another version of the sandbox (${String(state.version)}, this is 1). Move it away to start with an empty account.`,
    );
  }
  // A sandbox that was made before it had all of today's services.
  return { ...emptyState(), ...state };
}
