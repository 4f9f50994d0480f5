import type { DescribeEventsMessage, Event, EventsMessage } from '@aws-sdk/client-elasticache';
import type { Cloud } from './cloud.ts';
import { EVENTS_KEPT, eventWindow } from './event-window.ts';
import { invalidCombination, invalidValue } from './faults.ts';
import { page } from './paging.ts';
import type { EventSource, EventState } from './state.ts';

/** Adds an event; the texts are AWS's where they are known (facts 3.1). */
export function emit(
  cloud: Cloud,
  sourceType: EventSource,
  sourceId: string,
  message: string,
  date = new Date(),
): void {
  const { state } = cloud.store;
  state.events = state.events.filter((event) => Date.parse(event.date) > Date.now() - EVENTS_KEPT);
  state.events.push({ number: state.nextEvent++, sourceType, sourceId, message, date: date.toISOString() });
  cloud.store.save();
}

/** DescribeEvents: newest first; without a time, the last hour only. */
export function describeEvents(cloud: Cloud, input: DescribeEventsMessage): EventsMessage {
  if (input.SourceIdentifier !== undefined && input.SourceType === undefined) {
    throw invalidCombination('SourceType must be provided when SourceIdentifier is provided.');
  }
  const [from, to] = eventWindow(input, invalidCombination, (minutes, largest) => {
    if (minutes >= 1 && minutes <= largest) return minutes;
    throw invalidValue(`Invalid value ${minutes} for Duration. Must be between 1 and ${largest} minutes.`);
  });
  const wantedId = input.SourceIdentifier?.toLowerCase();
  const found = cloud.store
    .visible()
    .events.filter((event) => {
      const at = Date.parse(event.date);
      return (
        at >= from &&
        at <= to &&
        at > Date.now() - EVENTS_KEPT &&
        (input.SourceType === undefined || event.sourceType === input.SourceType) &&
        (wantedId === undefined || event.sourceId === wantedId)
      );
    })
    .sort((a, b) => b.number - a.number);
  const { items, ...marker } = page(found, (event) => String(event.number), input);
  return { Events: items.map(view), ...marker };
}

function view(event: EventState): Event {
  return {
    SourceIdentifier: event.sourceId,
    SourceType: event.sourceType,
    Message: event.message,
    Date: new Date(event.date),
  };
}
