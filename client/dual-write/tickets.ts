/** Which writes are under way, by the phase they began under: a phase is acknowledged when none of an older one is left. */
export class Tickets {
  private readonly open = new Map<number, number>();
  private readonly onDrained: () => void;
  /** Grows with every change of the phase. */
  private generation = 0;

  constructor(onDrained: () => void) {
    this.onDrained = onDrained;
  }

  /** All under way, of whatever phase. */
  get pending(): number {
    let sum = 0;
    for (const count of this.open.values()) sum += count;
    return sum;
  }

  /** Nothing of an older phase is under way. */
  get drained(): boolean {
    for (const generation of this.open.keys()) if (generation < this.generation) return false;
    return true;
  }

  next(): void {
    this.generation += 1;
  }

  /** `ended` never rejects. */
  take(ended: Promise<void>): void {
    const { generation } = this;
    this.open.set(generation, (this.open.get(generation) ?? 0) + 1);
    void ended.then(() => {
      const left = (this.open.get(generation) ?? 1) - 1;
      if (left > 0) return void this.open.set(generation, left);
      this.open.delete(generation);
      this.onDrained();
    });
  }
}
