/** The times of a schedule, as Temporal's server reckons them. */
import type { Client } from '@temporalio/client';
import { scheduleCall } from './schedule-errors.ts';

/** From `from` to `to`, both included. ISO. @throws NoSchedule, Unreachable */
export async function scheduleTimes(client: Client, id: string, from: Date, to: Date): Promise<string[]> {
  // The server leaves out what is exactly at the start.
  const start = Math.floor(from.getTime() / 1000) - 1;
  const seconds = (value: number) => ({ seconds: value as never, nanos: 0 });
  const { startTime } = await scheduleCall(client, id, () =>
    client.workflowService.listScheduleMatchingTimes({
      namespace: client.options.namespace,
      scheduleId: id,
      startTime: seconds(start),
      endTime: seconds(Math.floor(to.getTime() / 1000)),
    }),
  );
  return (startTime ?? [])
    .map((time) => new Date(Number(time.seconds) * 1000))
    .filter((time) => time >= from && time <= to)
    .map((time) => time.toISOString());
}
