/** A limit on how fast items are read: each read is billed, and shares the table's throughput with others. */
import { sleep } from '@temporalio/activity';

/** Lets no more than so many items a second through, over the whole of its life. */
export class Pace {
  private readonly perSecond: number;
  private free = performance.now();

  constructor(perSecond: number) {
    this.perSecond = perSecond;
  }

  async take(items: number): Promise<void> {
    const now = performance.now();
    const wait = this.free - now;
    this.free = Math.max(this.free, now) + (items / this.perSecond) * 1_000;
    if (wait > 1) await sleep(wait);
  }
}
