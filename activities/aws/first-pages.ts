/** A list of AWS's, page by page. */

/** At most so many pages: more than a list can have mean a marker that goes in circles. */
export async function* firstPages<T>(pages: AsyncIterable<T>, most: number): AsyncGenerator<T, void, undefined> {
  let read = 0;
  for await (const page of pages) {
    yield page;
    read += 1;
    if (read === most) return;
  }
}
