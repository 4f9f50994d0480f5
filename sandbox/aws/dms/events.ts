import type { DescribeEventsMessage, DescribeEventsResponse, Event } from '@aws-sdk/client-database-migration-service';
import type { Cloud } from '../cloud.ts';
import { EVENTS_KEPT, eventWindow } from '../event-window.ts';
import { dmsPage } from './filters.ts';
import { invalidCombination, invalidValue } from './faults.ts';
import type { DmsEventState, DmsSource } from './state.ts';
import { inRange, oneOf } from './validation.ts';

/** Adds an event. Texts and categories are those of the DMS guide's event list. */
export function emitDms(
  cloud: Cloud,
  sourceType: DmsSource,
  sourceId: string,
  category: string,
  message: string,
): void {
  const { dms } = cloud.store.state;
  dms.events = dms.events.filter((event) => Date.parse(event.date) > Date.now() - EVENTS_KEPT);
  dms.events.push({
    number: dms.nextEvent++,
    sourceType,
    sourceId,
    categories: [category],
    message,
    date: new Date().toISOString(),
  });
  cloud.store.save();
}

/** DescribeEvents: newest first; without a time, the last hour only. */
export function describeEvents(cloud: Cloud, input: DescribeEventsMessage): DescribeEventsResponse {
  if (input.SourceIdentifier !== undefined && input.SourceType === undefined) {
    throw invalidCombination('SourceType must be provided when SourceIdentifier is provided.');
  }
  if (input.SourceType !== undefined) {
    // The model's enum knows instances only, the service both.
    oneOf('SourceType', input.SourceType, ['replication-instance', 'replication-task']);
  }
  if ((input.Filters ?? []).length > 0) throw invalidValue('DescribeEvents takes no Filters.');
  const [from, to] = eventWindow(input, invalidCombination, (minutes, largest) =>
    inRange('Duration', minutes, 1, largest),
  );
  const wantedId = input.SourceIdentifier?.toLowerCase();
  const found = cloud.store
    .visible()
    .dms.events.filter((event) => {
      const at = Date.parse(event.date);
      return (
        at >= from &&
        at <= to &&
        (input.SourceType === undefined || event.sourceType === input.SourceType) &&
        (wantedId === undefined || event.sourceId === wantedId) &&
        (input.EventCategories === undefined || event.categories.some((one) => input.EventCategories?.includes(one)))
      );
    })
    .sort((a, b) => b.number - a.number);
  const { items, ...marker } = dmsPage(found, (event) => String(event.number), input);
  return { Events: items.map(view), ...marker };
}

function view(event: DmsEventState): Event {
  return {
    SourceIdentifier: event.sourceId,
    SourceType: event.sourceType as Event['SourceType'],
    Message: event.message,
    EventCategories: event.categories,
    Date: new Date(event.date),
  };
}
