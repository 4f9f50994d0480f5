/** What the workers of the recordings know and no history may show: the variables' names are in the files, these are not. */
import { WORKER_SECRETS } from '../stage/postgres.ts';

export const RECORDED_SECRETS: Record<string, string> = {
  ...WORKER_SECRETS,
  REPLAY_TOKEN: 'rpl-t0ken-of-the-switch',
};
