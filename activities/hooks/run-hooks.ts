/**
 * Runs the file's hooks in order, and undoes them backwards. What undo needs is looked up before a hook is applied, is
 * in the heartbeat while hooks run and in the result or the failure afterwards, and holds no secret.
 */
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { ErrorType } from '../../spec/errors.ts';
import { hookTitle, type Hook } from '../../spec/hooks.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { keep, kept } from '../aws/kept.ts';
import { beat } from '../beat.ts';
import { permanent } from '../errors.ts';
import { redact } from '../secrets/redact.ts';
import { resolveSecret } from '../secrets/resolve.ts';
import { runCommand, undoCommand } from './command.ts';
import { captureService, runService, undoService, type EcsUndo } from './ecs-service.ts';
import { captureTargets, runDeregister, undoDeregister, type ElbDeregisterUndo } from './elb-deregister.ts';
import { captureActions, runListener, undoListener, type ElbListenerUndo } from './elb-listener.ts';
import { withinTimeout, type HookContext } from './hook-context.ts';
import { captureParameter, runParameter, undoParameter, type SsmUndo } from './ssm-parameter.ts';
import { runWebhook, undoWebhook } from './webhook.ts';

/** What undo has to know beside the file. Nothing for commands and webhooks: their undo is in the file. */
export type HookUndo = SsmUndo | EcsUndo | ElbListenerUndo | ElbDeregisterUndo | { type: 'command' | 'webhook' };

export interface HookDone {
  /** In the file's list, from 0. */
  index: number;
  undoState: HookUndo;
  /** False for one that was begun and is not known to have ended well; it is undone all the same. */
  complete: boolean;
}

export interface HooksArgs {
  migrationId: string;
  /**
   * What tells this use of the hooks from every other: the run, and where one run may undo them and use them again, or has
   * two lists, that too. Part of a webhook's Idempotency-Key: a receiver would answer another use's key from its memory,
   * and do nothing.
   */
  run?: string;
  hooks: Hook[];
  /** Where the application is to be sent. */
  target: { host: string; port: number };
  aws?: AwsTarget;
}

export interface RunHooksArgs extends HooksArgs {
  /** The first one to run, from 0: after a failure, the one that failed. */
  from?: number;
  /**
   * From prepareHooks, or the `done` of an earlier run: it says what was there before, where looking it up now would find
   * our own doing.
   */
  before?: Pick<HookDone, 'index' | 'undoState'>[];
}

/** What a failure of runHooks tells, in its details. */
export interface HooksFailedFacts {
  failedIndex: number;
  done: HookDone[];
}

/**
 * Looks ahead, before anything is fenced: that every secret can be read, every parameter and service is there and may
 * be read by the worker. Its result is the `before` of runHooks, and safe in history from then on. Changes nothing.
 * @throws as the hook itself would, naming it
 */
export async function prepareHooks(args: HooksArgs): Promise<Pick<HookDone, 'index' | 'undoState'>[]> {
  const prepared: Pick<HookDone, 'index' | 'undoState'>[] = [];
  for (const [index, hook] of args.hooks.entries()) {
    const undoState = await inHook(args, index, 'looking ahead', hook, async (context) => {
      for (const ref of secretsOf(hook)) await resolveSecret(ref, context.aws);
      return await capture(hook, context);
    });
    prepared.push({ index, undoState });
  }
  return prepared;
}

/**
 * Runs the hooks one after the other, each within its timeout. Safe to run twice.
 * @throws cutover.Hook naming the hook that failed, with HooksFailedFacts in the details; CancelledFailure
 */
export async function runHooks(args: RunHooksArgs): Promise<{ done: HookDone[] }> {
  const { hooks, from = 0 } = args;
  const carried = kept<{ hooks: HookDone[] }>().hooks ?? [];
  const done: HookDone[] = carried.map((entry) => ({ ...entry }));
  const journal = (entry: HookDone) => {
    const at = done.findIndex(({ index }) => index === entry.index);
    if (at === -1) done.push(entry);
    else done[at] = entry;
    keep({ hooks: done });
  };
  for (const [index, hook] of hooks.entries()) {
    if (index < from || done.some((entry) => entry.index === index && entry.complete)) continue;
    try {
      await inHook(args, index, 'starting', hook, async (context) => {
        // The oldest account counts: one that is taken now may be of our own change.
        const known = [...(args.before ?? []), ...done].find((entry) => entry.index === index)?.undoState;
        const undoState = known ?? (await capture(hook, context));
        journal({ index, undoState, complete: false });
        await apply(hook, undoState, context);
        journal({ index, undoState, complete: true });
      });
    } catch (error) {
      if (!(error instanceof ApplicationFailure)) throw error;
      throw withFacts(error, { failedIndex: index, done });
    }
  }
  return { done };
}

/**
 * Undoes what was done, the last one first. It goes on after a failure, for the others may still be undone, and is safe
 * to run twice.
 * @returns `left`: the hooks whose file names no way back, by title
 * @throws cutover.Hook naming each that could not be undone; CancelledFailure
 */
export async function undoHooks(args: HooksArgs & { done: HookDone[] }): Promise<{ undone: number[]; left: string[] }> {
  const undone: number[] = [];
  const left: string[] = [];
  const failed: { index: number; message: string }[] = [];
  const backwards = [...args.done].sort((a, b) => b.index - a.index);
  for (const { index, undoState } of backwards) {
    const hook = args.hooks[index];
    if (!hook) continue;
    if ('undo' in hook ? hook.undo === undefined : hook.type === 'command' || hook.type === 'webhook') {
      left.push(hookTitle(hook));
      continue;
    }
    try {
      await inHook(args, index, 'undoing', hook, (context) => undo(hook, undoState, context));
      undone.push(index);
    } catch (error) {
      if (error instanceof CancelledFailure || !(error instanceof Error)) throw error;
      failed.push({ index, message: error.message });
    }
  }
  if (failed.length > 0) {
    throw permanent(ErrorType.hook, `not undone: ${failed.map(({ message }) => message).join('; ')}`, {
      remedy: 'undo them by hand, or mend the cause and run the undo again',
      facts: { failed, undone, left },
    });
  }
  return { undone, left };
}

async function inHook<T>(
  args: HooksArgs,
  index: number,
  doing: string,
  hook: Hook,
  use: (context: HookContext) => Promise<T>,
): Promise<T> {
  const { migrationId, run, hooks, target, aws = {} } = args;
  const name = `hook ${index + 1}/${hooks.length} ${hookTitle(hook)}`;
  const say = (text: string) =>
    beat({ progress: { text: redact(`${name}: ${text}`), done: index, total: hooks.length } });
  say(doing);
  try {
    return await withinTimeout(
      hook.timeout,
      { migrationId, ...(run === undefined ? {} : { run }), index, target, aws, say },
      use,
    );
  } catch (error) {
    if (error instanceof CancelledFailure) throw error;
    const known = error instanceof ApplicationFailure ? error : undefined;
    const text = error instanceof Error ? error.message : String(error);
    const detail = detailsOf(known);
    throw permanent(ErrorType.hook, redact(`${name}: ${text}`), {
      ...(detail.remedy === undefined ? {} : { remedy: detail.remedy }),
      facts: { ...detail.facts, ...(known?.type && known.type !== ErrorType.hook ? { errorType: known.type } : {}) },
    });
  }
}

function withFacts(error: ApplicationFailure, facts: HooksFailedFacts): ApplicationFailure {
  const detail = detailsOf(error);
  return permanent(ErrorType.hook, error.message, {
    ...(detail.remedy === undefined ? {} : { remedy: detail.remedy }),
    facts: { ...detail.facts, ...facts },
  });
}

function detailsOf(error: ApplicationFailure | undefined): { remedy?: string; facts: Record<string, unknown> } {
  const first: unknown = error?.details?.[0];
  if (typeof first !== 'object' || first === null) return { facts: {} };
  const { remedy, ...facts }: Record<string, unknown> = { ...first };
  return { ...(typeof remedy === 'string' ? { remedy } : {}), facts };
}

async function capture(hook: Hook, context: HookContext): Promise<HookUndo> {
  if (hook.type === 'ssm-parameter') return await captureParameter(hook, context);
  if (hook.type === 'ecs-service') return await captureService(hook, context);
  if (hook.type === 'elb-listener') return await captureActions(hook, context);
  if (hook.type === 'elb-deregister') return await captureTargets(hook, context);
  return { type: hook.type };
}

async function apply(hook: Hook, state: HookUndo, context: HookContext): Promise<void> {
  if (hook.type === 'command') return await runCommand(hook, context);
  if (hook.type === 'webhook') return await runWebhook(hook, context);
  if (hook.type === 'ssm-parameter') return await runParameter(hook, context);
  if (hook.type === 'ecs-service') return await runService(hook, context);
  if (hook.type === 'elb-listener') return await runListener(hook, context);
  if (state.type === 'elb-deregister') return await runDeregister(hook, state, context);
  throw anotherHooks(state);
}

async function undo(hook: Hook, state: HookUndo, context: HookContext): Promise<void> {
  if (hook.type === 'command') return await undoCommand(hook, context);
  if (hook.type === 'webhook') return await undoWebhook(hook, context);
  if (hook.type === 'ssm-parameter' && state.type === 'ssm-parameter') return await undoParameter(hook, state, context);
  if (hook.type === 'ecs-service' && state.type === 'ecs-service') return await undoService(hook, state, context);
  if (hook.type === 'elb-listener' && state.type === 'elb-listener') return await undoListener(hook, state, context);
  if (hook.type === 'elb-deregister' && state.type === 'elb-deregister') {
    return await undoDeregister(hook, state, context);
  }
  throw anotherHooks(state);
}

function anotherHooks(state: HookUndo): Error {
  return permanent(ErrorType.hook, `the journal is of another hook (${state.type}): was the list of hooks changed?`);
}

function secretsOf(hook: Hook) {
  const values =
    hook.type === 'command' ? hook.env : hook.type === 'webhook' ? { ...hook.headers, ...hook.undo?.headers } : {};
  return Object.values(values).filter((value) => typeof value !== 'string');
}
