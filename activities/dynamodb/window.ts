/** What of a wanted time is restorable. Pure. */

export interface Restorable {
  /** ISO. */
  earliest: string;
  latest: string;
}

export interface Clamped {
  /** ISO. */
  at: string;
  /** Set where it is not what was asked: for an operator. */
  moved?: string;
}

/** Moves a time outside of the window to its edge, and says so. @param asked ISO; absent: the latest there is */
export function clamp(asked: string | undefined, window: Restorable): Clamped {
  if (asked === undefined) return { at: window.latest };
  const [wanted, first, last] = [asked, window.earliest, window.latest].map((iso) => Date.parse(iso)) as [
    number,
    number,
    number,
  ];
  if (wanted > last) {
    return {
      at: window.latest,
      moved: `${asked} was asked for and is not restorable yet: ${window.latest} is exported`,
    };
  }
  if (wanted < first) {
    return {
      at: window.earliest,
      moved: `${asked} was asked for and is not restorable any more, or not before recovery was switched on: ${window.earliest} is exported`,
    };
  }
  return { at: asked };
}
