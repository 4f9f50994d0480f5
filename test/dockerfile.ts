/**
 * Builds a stage of the repo's Dockerfile as plain commands in a folder that stands for the image's WORKDIR: no Docker
 * engine is to be had in CI, and an image of which nothing was ever run would be a guess.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { outputOf } from './command-output.ts';

const exec = promisify(execFile);

export interface Instruction {
  /** In capitals, e.g. COPY. */
  name: string;
  text: string;
}

export interface Stage {
  name: string;
  /** Another stage, or an image. */
  from: string;
  instructions: Instruction[];
}

/** @throws Error where an instruction stands before the first FROM that has a name */
export function readDockerfile(file: string): Stage[] {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('#'))
    .join('\n')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const stages: Stage[] = [];
  for (const line of lines) {
    const [, name = '', text = ''] = /^(\S+)\s+(.*)$/.exec(line.trim()) ?? [];
    const from = /^(\S+) AS (\S+)$/.exec(text);
    if (name === 'FROM' && from) stages.push({ from: from[1] ?? '', name: from[2] ?? '', instructions: [] });
    else if (stages.length > 0) stages.at(-1)?.instructions.push({ name, text });
    else if (name !== 'ARG') throw new Error(`${file}: ${line} stands before FROM … AS …`);
  }
  return stages;
}

/** A stage, and those that it is made from, the oldest first. */
export function lineage(stages: Stage[], name: string): Stage[] {
  const stage = stages.find((one) => one.name === name);
  return stage ? [...lineage(stages, stage.from), stage] : [];
}

/** The last one of its kind that holds in a stage: ENTRYPOINT and CMD in exec form, as a list of words. */
export function execForm(stages: Stage[], stage: string, name: 'ENTRYPOINT' | 'CMD'): string[] {
  const all = lineage(stages, stage).flatMap(({ instructions }) => instructions);
  const text = all.findLast((instruction) => instruction.name === name)?.text;
  return text === undefined ? [] : z.array(z.string()).parse(JSON.parse(text));
}

/** What ENV sets, in the form NAME=value. */
export function imageEnvironment(stages: Stage[], stage: string): Record<string, string> {
  const all = lineage(stages, stage).flatMap(({ instructions }) => instructions);
  const pairs = all.filter(({ name }) => name === 'ENV').map(({ text }) => text.split('='));
  return Object.fromEntries(pairs.map(([name = '', ...value]) => [name, value.join('=')]));
}

/** The top-level names that .dockerignore lets in: it has to be `*`, and then only `!name`. */
export function buildContext(file: string): string[] {
  const [first, ...rest] = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const wrong = rest.filter((line) => !/^![\w.-]+$/.test(line));
  if (first !== '*' || wrong.length > 0)
    throw new Error(`${file}: expected * and !name only, got ${[first, ...wrong].join(' ')}`);
  return rest.map((line) => line.slice(1));
}

/**
 * Runs a stage's COPY and RUN in `folders[stage]`. A RUN that installs Debian packages is left out: it belongs to the
 * image's system, and those programs are on this machine by other ways.
 * @throws Error with the output of the RUN that failed
 */
export async function buildStage(stage: Stage, repo: string, folders: Record<string, string>): Promise<void> {
  const here = folders[stage.name] ?? '';
  mkdirSync(here, { recursive: true });
  for (const { name, text } of stage.instructions) {
    if (name === 'COPY') await copy(text, here, repo, folders);
    if (name === 'RUN' && !text.includes('apt-get')) await run(text, here);
  }
}

async function copy(text: string, here: string, repo: string, folders: Record<string, string>): Promise<void> {
  const words = text.split(/\s+/);
  const fromStage = /^--from=(\S+)$/.exec(words[0] ?? '')?.[1];
  const target = join(here, words.at(-1) ?? '');
  if (fromStage !== undefined) {
    // Links in place of copies: node_modules has hundreds of MB, and nothing here writes into it.
    const source = (words[1] ?? '').replace(/^\/app\//, '');
    await exec('cp', ['-al', join(folders[fromStage] ?? '', source), words.at(-1)?.endsWith('/') ? here : target]);
    return;
  }
  const context = buildContext(join(repo, '.dockerignore'));
  const sources = words.slice(0, -1).flatMap((word) => (word === '.' ? context : [word]));
  for (const source of sources) {
    if (!context.includes(source)) throw new Error(`COPY ${source}: .dockerignore keeps it out of the build`);
    cpSync(join(repo, source), join(here, basename(source)), { recursive: true });
  }
}

async function run(text: string, cwd: string): Promise<void> {
  try {
    await exec('/bin/sh', ['-c', text], { cwd, maxBuffer: 64 * 1024 * 1024 });
  } catch (error) {
    const { stdout, stderr } = outputOf(error);
    throw new Error(`RUN ${text}\n${stdout}${stderr}`, { cause: error });
  }
}
