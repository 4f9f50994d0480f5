/** What a command that failed had printed, from the error of a promisified execFile. */
import { z } from 'zod';

const failed = z.object({ code: z.union([z.number(), z.string(), z.null()]), stdout: z.string(), stderr: z.string() });

/** @throws ZodError where the error is none of execFile's */
export function outputOf(error: unknown): z.infer<typeof failed> {
  return failed.parse(error);
}
