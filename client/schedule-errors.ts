/** How the commands of schedules fail. */
import { ScheduleAlreadyRunning, ScheduleNotFoundError, type Client } from '@temporalio/client';
import { CutoverError, Failed, Refused } from './errors.ts';
import { addressOf, call, grpcError, Grpc } from './grpc-failure.ts';

/** There is no schedule of that id. */
export class NoSchedule extends CutoverError {
  override readonly name = 'NoSchedule';
}

/** A schedule of that id is there already. */
export class ScheduleExists extends CutoverError {
  override readonly name = 'ScheduleExists';
}

const ANSWER_MS = 15_000;

/** One call about the schedule `id`. @throws NoSchedule, ScheduleExists, Failed, Unreachable */
export async function scheduleCall<T>(client: Client, id: string, body: () => Promise<T>): Promise<T> {
  try {
    return await call(client, ANSWER_MS, body);
  } catch (error) {
    throw explained(client, id, error);
  }
}

function explained(client: Client, id: string, error: unknown): unknown {
  if (error instanceof ScheduleNotFoundError)
    return noSchedule(
      `there is no schedule "${id}" (namespace "${client.options.namespace}" at ${addressOf(client)})`,
      error,
    );
  if (error instanceof ScheduleAlreadyRunning)
    return new ScheduleExists(`a schedule "${id}" is there already; nothing was changed`, {
      mend: `take the file over into it: npx cutover schedule update <file>; see it: npx cutover schedule show ${id}`,
      cause: error,
    });
  const grpc = grpcError(error);
  // The SDK makes a plain TypeError of "Invalid schedule spec", for example of a time zone that the server does not have.
  if ((error instanceof TypeError || grpc?.code === Grpc.INVALID_ARGUMENT) && !(error instanceof CutoverError))
    return new Failed(`Temporal refuses the schedule of "${id}": ${grpc?.details ?? (error as Error).message}`, {
      mend: 'change the section `schedule` of the file',
      cause: error,
    });
  return error;
}

export function noSchedule(message: string, cause?: unknown): NoSchedule {
  return new NoSchedule(message, { mend: 'see which there are: npx cutover schedule list', cause });
}

/** A trigger that Temporal would drop without a word. */
export function wouldBeSkipped(id: string, running: string): Refused {
  return new Refused(
    'trigger',
    `the run ${running} of "${id}" has not ended, and the schedule's overlap is skip: look at it (npx cutover status ${running}), or say --overlap allow-all`,
  );
}

/** One waits already, and no second one may. */
export function wouldBeDropped(id: string): Refused {
  return new Refused(
    'trigger',
    `a run of "${id}" waits already for the running one to end, and the overlap is buffer-one: let it, or say --overlap buffer-all`,
  );
}

/** The server took the command, and does not show anything of it. */
export function notTakenOver(id: string, command: string, withinMs: number): Failed {
  return new Failed(`Temporal does not say within ${withinMs / 1000} s that the ${command} of "${id}" took effect`, {
    mend: `look at it: npx cutover schedule show ${id}`,
  });
}
