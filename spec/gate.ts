/** When a gate opens: an operator's word, by itself, or a window. */
import { z } from 'zod';

export const gate = z.union(
  [
    z.enum(['manual', 'auto']),
    z
      .strictObject({
        from: z.iso.datetime({
          offset: true,
          error: 'expected a date and time with offset, 2026-11-21T02:00:00+09:00',
        }),
        to: z.iso.datetime({ offset: true, error: 'expected a date and time with offset, 2026-11-21T04:00:00+09:00' }),
      })
      .refine(({ from, to }) => !(Date.parse(from) >= Date.parse(to)), {
        error: 'expected a time after `from`',
        path: ['to'],
      }),
  ],
  { error: 'expected manual, auto, or a window { from, to }' },
);
