/** How errors are judged: what ends the task, what is tried again, what belongs to the data. */
import { DatabaseError } from 'pg';
import type { StopReason } from './contract.ts';

/** Ends the task with that reason. */
export class TaskFailure extends Error {
  override readonly name = 'TaskFailure';
  readonly reason: StopReason;

  constructor(reason: StopReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Ended from outside: stop(), remove(). */
export class Ended extends Error {
  override readonly name = 'Ended';
}

export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

export function sqlState(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined;
}

/** 08 connection, 53 resources, 57 operator: they pass by themselves, as does what the network says. */
const PASSING = /^(08|53|57P|57014|55006|40)/;

/** The server or the way to it is away: to be tried again. */
export function isPassing(error: unknown): boolean {
  if (error instanceof TaskFailure || error instanceof Ended) return false;
  const state = sqlState(error);
  if (state !== undefined) return PASSING.test(state);
  if (error instanceof AggregateError) return error.errors.some(isPassing);
  if (error instanceof Error && 'code' in error && /^E[A-Z]+$/.test(String(error.code))) return true;
  return /terminat|timeout|not queryable|closed|socket|end[- ]of[- ](file|stream)/i.test(messageOf(error));
}

/** 22: the value does not fit, 23: a constraint says no. A row's own fault. */
export function isDataError(error: unknown): boolean {
  return /^(22|23)/.test(sqlState(error) ?? '');
}
