/** What happens when a run is due while the one before still runs, or waits for its operator. */
export const OVERLAPS = {
  skip: 'the one that is due is left out, and counted',
  'buffer-one': 'one waits until the running one has ended; further ones are left out',
  'buffer-all': 'all wait, and run one after the other',
  'cancel-other': 'the running one is aborted (what it did is undone), and the next begins then',
  'terminate-other': 'the running one is ended as it is: NOTHING of it is undone, what it made stays',
  'allow-all': 'they run side by side',
} as const;
export type Overlap = keyof typeof OVERLAPS;
