import type { DescribeEventsMessage, Event, EventsMessage } from '@aws-sdk/client-elasticache';
import type { Cloud } from './cloud.ts';
import { invalidCombination, invalidValue } from './faults.ts';
import { page } from './paging.ts';
import type { EventSource, EventState } from './state.ts';

const HOUR = 3_600_000;
/** Events are kept 14 days (facts 3.1). */
const KEPT = 14 * 24 * HOUR;

/** Adds an event; the texts are AWS's where they are known (facts 3.1). */
export function emit(
  cloud: Cloud,
  sourceType: EventSource,
  sourceId: string,
  message: string,
  date = new Date(),
): void {
  const { state } = cloud.store;
  state.events = state.events.filter((event) => Date.parse(event.date) > Date.now() - KEPT);
  state.events.push({ number: state.nextEvent++, sourceType, sourceId, message, date: date.toISOString() });
  cloud.store.save();
}

/** DescribeEvents: newest first; without a time, the last hour only. */
export function describeEvents(cloud: Cloud, input: DescribeEventsMessage): EventsMessage {
  if (input.SourceIdentifier !== undefined && input.SourceType === undefined) {
    throw invalidCombination('SourceType must be provided when SourceIdentifier is provided.');
  }
  const [from, to] = eventWindow(input);
  const wantedId = input.SourceIdentifier?.toLowerCase();
  const found = cloud.store
    .visible()
    .events.filter((event) => {
      const at = Date.parse(event.date);
      return (
        at >= from &&
        at <= to &&
        at > Date.now() - KEPT &&
        (input.SourceType === undefined || event.sourceType === input.SourceType) &&
        (wantedId === undefined || event.sourceId === wantedId)
      );
    })
    .sort((a, b) => b.number - a.number);
  const { items, ...marker } = page(found, (event) => String(event.number), input);
  return { Events: items.map(view), ...marker };
}

function eventWindow(input: DescribeEventsMessage): [number, number] {
  const now = Date.now();
  if (input.Duration !== undefined) {
    if (input.StartTime !== undefined || input.EndTime !== undefined) {
      throw invalidCombination('Duration must not be provided together with StartTime or EndTime.');
    }
    if (input.Duration < 1 || input.Duration * 60_000 > KEPT) {
      throw invalidValue(
        `Invalid value ${input.Duration} for Duration. Must be between 1 and ${KEPT / 60_000} minutes.`,
      );
    }
    return [now - input.Duration * 60_000, now];
  }
  const to = input.EndTime?.getTime() ?? now;
  const from = input.StartTime?.getTime() ?? to - HOUR;
  if (from > to) throw invalidCombination('StartTime must not be later than EndTime.');
  return [from, to];
}

function view(event: EventState): Event {
  return {
    SourceIdentifier: event.sourceId,
    SourceType: event.sourceType,
    Message: event.message,
    Date: new Date(event.date),
  };
}
