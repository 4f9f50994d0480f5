/** `cutover snapshots`: asks every system for its backups, from where the workers are. Changes nothing. */
import { proxyActivities } from '@temporalio/workflow';
import type { CatalogueAnswer, CatalogueRequest } from '../spec/catalogue.ts';
import type { Activities } from './activity-options.ts';

const { listCatalogue } = proxyActivities<Activities>({
  startToCloseTimeout: '10m',
  heartbeatTimeout: '30s',
  // What AWS refuses is part of the answer; what is tried again here is a worker that died.
  retry: { initialInterval: '1s', maximumAttempts: 3 },
});

export async function catalogue(request: CatalogueRequest): Promise<CatalogueAnswer> {
  return listCatalogue.executeWithOptions({ summary: request.systems.join(', ') }, [request]);
}
